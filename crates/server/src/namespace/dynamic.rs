//! Dynamic namespaces: names that are not known beforehand, and the children that come into being for them.
//!
//! ```text
//! Io ── namespaces: "/", "/chat", ...                      as long as the server
//!    └─ parents: matcher ── children: "/room-1" ┄► Weak    as long as a socket or a `Namespace` holds them
//! ```

use bytestring::ByteString;
use parking_lot::RwLock;
use serde::de::DeserializeOwned;
use sockeye_adapter::BoxFuture;
use sockeye_socketio::ArgsError;
use std::{
    collections::HashMap,
    fmt,
    future::Future,
    marker::PhantomData,
    sync::{Arc, Weak},
};

use super::NamespaceInner;
use crate::{Handshake, socket::read_auth};

/// A client's wish to connect to a namespace that does not exist; see [`Io::of_dynamic`](crate::Io::of_dynamic).
#[derive(Clone)]
pub struct NamespaceRequest {
    name: ByteString,
    auth: ByteString,
    handshake: Arc<Handshake>,
}

impl NamespaceRequest {
    pub(crate) fn new(name: &str, auth: &str, handshake: Arc<Handshake>) -> Self {
        Self { name: name.into(), auth: auth.into(), handshake }
    }

    /// The name, with the leading slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the client sent as `auth`, deserialized; nothing like `null`.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        read_auth(&self.auth)
    }

    pub(crate) fn into_auth(self) -> ByteString {
        self.auth
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }
}

impl fmt::Debug for NamespaceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without `auth`, which may be a secret.
        f.debug_struct("NamespaceRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Decides which names [`Io::of_dynamic`](crate::Io::of_dynamic) is for:
///
/// - `Fn(&str) -> bool`: by the name, which has its leading slash.
/// - an async closure or function of a [`NamespaceRequest`] that returns `bool`: by whatever it looks up.
/// - a `regex::Regex`, with the feature `regex`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot decide about the names of namespaces",
    note = "take `|name: &str| -> bool`, `async |request: NamespaceRequest| -> bool` or, with the feature `regex`, a `Regex`"
)]
pub trait NamespaceMatcher<M>: Send + Sync + 'static {
    #[doc(hidden)]
    fn decide(&self, request: &NamespaceRequest) -> Decision;

    /// Whether the name alone decides, and is accepted.
    #[doc(hidden)]
    fn accepts_name(&self, _name: &str) -> bool {
        false
    }
}

/// What a matcher says, at once or later.
#[doc(hidden)]
pub enum Decision {
    Now(bool),
    Later(BoxFuture<'static, bool>),
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decision")
    }
}

/// Marks matchers that see the name only.
#[doc(hidden)]
#[derive(Debug)]
pub struct ByName;

impl<F: Fn(&str) -> bool + Send + Sync + 'static> NamespaceMatcher<ByName> for F {
    fn decide(&self, request: &NamespaceRequest) -> Decision {
        Decision::Now(self(request.name()))
    }

    fn accepts_name(&self, name: &str) -> bool {
        self(name)
    }
}

#[cfg(feature = "regex")]
impl NamespaceMatcher<Self> for regex::Regex {
    fn decide(&self, request: &NamespaceRequest) -> Decision {
        Decision::Now(self.is_match(request.name()))
    }

    fn accepts_name(&self, name: &str) -> bool {
        self.is_match(name)
    }
}

impl<F, Fut> NamespaceMatcher<(Fut,)> for F
where
    F: Fn(NamespaceRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = bool> + Send + 'static,
{
    fn decide(&self, request: &NamespaceRequest) -> Decision {
        Decision::Later(Box::pin(self(request.clone())))
    }
}

/// A matcher without the types of its arguments.
pub(crate) trait AnyMatcher: Send + Sync + 'static {
    fn decide(&self, request: &NamespaceRequest) -> Decision;
    fn accepts_name(&self, name: &str) -> bool;
}

struct Erased<H, M> {
    matcher: H,
    arguments: PhantomData<fn() -> M>,
}

impl<H: NamespaceMatcher<M>, M: 'static> AnyMatcher for Erased<H, M> {
    fn decide(&self, request: &NamespaceRequest) -> Decision {
        self.matcher.decide(request)
    }

    fn accepts_name(&self, name: &str) -> bool {
        self.matcher.accepts_name(name)
    }
}

/// What makes a namespace the parent of others: whom it accepts, and its children that live.
pub(crate) struct Family {
    matcher: Box<dyn AnyMatcher>,
    children: RwLock<HashMap<String, Weak<NamespaceInner>>>,
}

impl Family {
    pub(crate) fn new<M: 'static>(matcher: impl NamespaceMatcher<M>) -> Self {
        let matcher = Box::new(Erased { matcher, arguments: PhantomData });
        Self { matcher, children: RwLock::default() }
    }

    pub(crate) async fn accepts(&self, request: &NamespaceRequest) -> bool {
        match self.matcher.decide(request) {
            Decision::Now(accepted) => accepted,
            Decision::Later(accepted) => accepted.await,
        }
    }

    pub(crate) fn accepts_name(&self, name: &str) -> bool {
        self.matcher.accepts_name(name)
    }

    pub(crate) fn child(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        self.children.read().get(name).and_then(Weak::upgrade)
    }

    pub(crate) fn children(&self) -> Vec<Arc<NamespaceInner>> {
        self.children.read().values().filter_map(Weak::upgrade).collect()
    }

    /// The child of this name, made if need be; `None` when there are `max_count` already.
    pub(crate) fn child_or_create(
        &self,
        name: &str,
        max_count: usize,
        create: impl FnOnce() -> Arc<NamespaceInner>,
    ) -> Option<Arc<NamespaceInner>> {
        let mut children = self.children.write();
        if let Some(child) = children.get(name).and_then(Weak::upgrade) {
            return Some(child);
        }
        if children.len() >= max_count && !children.contains_key(name) {
            return None;
        }
        let child = create();
        children.insert(name.to_owned(), Arc::downgrade(&child));
        Some(child)
    }

    /// A child is gone. Meanwhile there may be another of its name.
    pub(crate) fn forget(&self, name: &str) {
        let mut children = self.children.write();
        if children.get(name).is_some_and(|child| child.strong_count() == 0) {
            children.remove(name);
        }
    }
}

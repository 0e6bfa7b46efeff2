//! What an application has to say about sessions and requests.

use http::{HeaderMap, request};
use sockeye_tokio_websocket::Acceptor;
use tower_http::cors::CorsLayer;

use super::ConnectionError;

type AllowRequest = dyn Fn(&request::Parts) -> Result<(), String> + Send + Sync;
type GenerateId = dyn Fn(&request::Parts) -> String + Send + Sync;
type ChangeHeaders = dyn Fn(&mut HeaderMap, &request::Parts) + Send + Sync;
type OnConnectionError = dyn Fn(ConnectionError<'_>) + Send + Sync;

/// What an application has to say about sessions and requests. What it does not say costs nothing.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) allow_request: Option<Box<AllowRequest>>,
    pub(crate) generate_id: Option<Box<GenerateId>>,
    pub(crate) initial_headers: Option<Box<ChangeHeaders>>,
    pub(crate) headers: Option<Box<ChangeHeaders>>,
    pub(crate) connection_error: Option<Box<OnConnectionError>>,
    pub(crate) cors: Option<CorsLayer>,
    /// Knows which origins may connect.
    pub(crate) origins: Option<Acceptor>,
}

impl Hooks {
    /// Changes the rules about origins.
    pub(crate) fn origins(&mut self, change: impl FnOnce(Acceptor) -> Acceptor) {
        self.origins = Some(change(self.origins.take().unwrap_or_default()));
    }

    /// Whether the head of a request is needed for its answer.
    pub(crate) const fn change_headers(&self) -> bool {
        self.initial_headers.is_some() || self.headers.is_some()
    }

    /// Lets the application change the fields of an answer.
    pub(crate) fn apply_headers(&self, headers: &mut HeaderMap, request: &request::Parts, is_initial: bool) {
        if let Some(change) = self.initial_headers.as_ref().filter(|_| is_initial) {
            change(headers, request);
        }
        if let Some(change) = &self.headers {
            change(headers, request);
        }
    }
}

/// The methods of a builder that say these things: the same for Socket.IO as for Engine.IO alone.
macro_rules! engine_options {
    () => {
        /// Changes options: `builder.config(|config| config.ping_interval = Duration::from_secs(10))`.
        #[must_use]
        pub fn config(mut self, change: impl FnOnce(&mut crate::Config)) -> Self {
            change(&mut self.config);
            self
        }

        /// Decides about every new session by its first request. A refusal is answered 403 with the text; on a WebSocket
        /// 400.
        #[must_use]
        pub fn allow_request(
            mut self,
            allow: impl Fn(&http::request::Parts) -> Result<(), String> + Send + Sync + 'static,
        ) -> Self {
            self.hooks.allow_request = Some(Box::new(allow));
            self
        }

        /// Makes the ids of sessions, from their first request, instead of 120 random bits.
        ///
        /// An id is all that a polling client proves itself with: **it must not be guessable**, and not be shown to anybody
        /// else. It has up to 39 characters out of `A-Z a-z 0-9 - _ . ~`. With another id, or one that is in use, the
        /// request is refused with 400.
        #[must_use]
        pub fn generate_id(
            mut self,
            generate: impl Fn(&http::request::Parts) -> String + Send + Sync + 'static,
        ) -> Self {
            self.hooks.generate_id = Some(Box::new(generate));
            self
        }

        /// Changes the header fields of the answer that opens a session, over polling or WebSocket, such as to set a cookie.
        #[must_use]
        pub fn initial_headers(
            mut self,
            change: impl Fn(&mut http::HeaderMap, &http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.hooks.initial_headers = Some(Box::new(change));
            self
        }

        /// Changes the header fields of every answer that is no refusal: handshakes, polls, posts and upgrades.
        #[must_use]
        pub fn headers(
            mut self,
            change: impl Fn(&mut http::HeaderMap, &http::request::Parts) + Send + Sync + 'static,
        ) -> Self {
            self.hooks.headers = Some(Box::new(change));
            self
        }

        /// Is told of every request that is refused: its code and message, and what exactly was wrong.
        ///
        /// ```
        /// let builder = sockeye::Io::builder().on_connection_error(|error| {
        ///     eprintln!("{} refused: {error}", error.request().uri);
        /// });
        /// # let _ = builder;
        /// ```
        #[must_use]
        pub fn on_connection_error(
            mut self,
            handle: impl Fn(crate::ConnectionError<'_>) + Send + Sync + 'static,
        ) -> Self {
            self.hooks.connection_error = Some(Box::new(handle));
            self
        }

        /// Lets pages of other origins poll (Cross-Origin Resource Sharing). Default off: they cannot.
        ///
        /// It comes before all checks, so that a page can read refusals too, and is applied to upgrades as well. Browsers do
        /// not ask for it when they open a WebSocket: see [`origins`](Self::origins).
        ///
        /// ```
        /// use http::{HeaderValue, Method};
        /// use sockeye::cors::{AllowHeaders, CorsLayer};
        ///
        /// let cors = CorsLayer::new()
        ///     .allow_origin([HeaderValue::from_static("https://app.example")])
        ///     .allow_credentials(true)
        ///     .allow_methods([Method::GET, Method::POST])
        ///     .allow_headers(AllowHeaders::mirror_request());
        /// let io = sockeye::Io::builder().cors(cors).build();
        /// # let _ = io;
        /// ```
        ///
        /// # Panics
        /// When credentials are allowed together with any origin, method or header, which browsers do not accept.
        #[must_use]
        pub fn cors(mut self, cors: crate::cors::CorsLayer) -> Self {
            // It checks its rules when it is put to use.
            let _ = tower_layer::Layer::layer(&cors, ());
            self.hooks.cors = Some(cors);
            self
        }

        /// Lets pages of these origins connect (such as `https://example.com`), and refuses those of others with 403, on a
        /// WebSocket 400. Of several rules one has to accept.
        ///
        /// Without a rule about origins, a page of any site can connect in the name of its visitors: browsers send cookies
        /// along, and ask nobody before they open a WebSocket (cross-site WebSocket hijacking, RFC 6455 §10.2). A server
        /// that knows its users by cookies needs such a rule. Requests without an `Origin` do not come from pages, and are
        /// let in; but JSONP, which pages use without one, is refused once there is a rule.
        #[must_use]
        pub fn origins<T: Into<String>>(mut self, origins: impl IntoIterator<Item = T>) -> Self {
            self.hooks.origins(|acceptor| acceptor.origins(origins));
            self
        }

        /// Lets pages of the host that a request names connect; see [`origins`](Self::origins). Behind a proxy that replaces
        /// `Host` list the origins instead.
        #[must_use]
        pub fn same_origin(mut self) -> Self {
            self.hooks.origins(sockeye_tokio_websocket::Acceptor::same_origin);
            self
        }

        /// Lets pages connect whose origin satisfies `predicate`; see [`origins`](Self::origins).
        #[must_use]
        pub fn origins_matching(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
            self.hooks.origins(|acceptor| acceptor.origins_matching(predicate));
            self
        }
    };
}

pub(crate) use engine_options;

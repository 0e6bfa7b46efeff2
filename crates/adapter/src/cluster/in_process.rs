//! Servers in one process: for tests of what a cluster does, and for servers with several runtimes.

use bytestring::ByteString;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{Body, Bus, ClusterAdapter, ClusterConfig, Message, Target, Transmit};
use crate::Node;

/// How many messages may wait for one server. Those beyond it are lost, and counted.
const MAX_QUEUE_COUNT: usize = 65_536;

/// A cluster of servers in one process. Cloning it is cheap and gives the same cluster.
///
/// ```
/// use sockeye_adapter::cluster::InProcess;
///
/// let cluster = InProcess::new();
/// // For each server, which has to be built within a tokio runtime:
/// // let io = sockeye::Io::builder().adapter(cluster.adapter()).build();
/// let make_adapter = cluster.adapter();
/// # let _ = make_adapter;
/// ```
#[derive(Clone, Default)]
pub struct InProcess {
    hub: Arc<Hub>,
}

/// Decides whether a message arrives at the server with this id.
type Filter = dyn Fn(&Message, &str) -> bool + Send + Sync;

#[derive(Default)]
struct Hub {
    members: Mutex<Vec<Member>>,
    next_uid: AtomicU64,
    lost: AtomicUsize,
    filter: Mutex<Option<Arc<Filter>>>,
    config: ClusterConfig,
}

struct Member {
    uid: ByteString,
    namespace: String,
    messages: mpsc::Sender<Message>,
}

impl InProcess {
    /// A cluster without servers.
    pub fn new() -> Self {
        Self::default()
    }

    /// A cluster without servers, with other options. [`ClusterConfig::echo`] has no effect.
    pub fn with_config(config: ClusterConfig) -> Self {
        Self { hub: Arc::new(Hub { config: ClusterConfig { echo: false, ..config }, ..Hub::default() }) }
    }

    /// What makes the adapters of one server.
    pub fn adapter(&self) -> impl Fn(Arc<dyn Node>) -> ClusterAdapter<InProcessBus> + Send + Sync + 'static {
        let cluster = self.clone();
        move |node| cluster.join(node)
    }

    /// Lets faults happen: from now on a message reaches a server, which is named by its id, only if `arrives` says so.
    pub fn filter(&self, arrives: impl Fn(&Message, &str) -> bool + Send + Sync + 'static) {
        *lock(&self.hub.filter) = Some(Arc::new(arrives));
    }

    /// How many messages were lost because a server did not keep up.
    pub fn lost_count(&self) -> usize {
        self.hub.lost.load(Ordering::Relaxed)
    }

    fn join(&self, node: Arc<dyn Node>) -> ClusterAdapter<InProcessBus> {
        let uid = format!("{:016x}", self.hub.next_uid.fetch_add(1, Ordering::Relaxed));
        let namespace = node.namespace().to_owned();
        let (sender, mut messages) = mpsc::channel(MAX_QUEUE_COUNT);
        let others: Vec<_> = {
            let mut members = lock(&self.hub.members);
            let others = members.iter().filter(|member| member.namespace == namespace);
            let others = others.map(|member| member.uid.clone()).collect();
            members.push(Member { uid: uid.as_str().into(), namespace: namespace.clone(), messages: sender });
            others
        };
        let bus =
            InProcessBus { hub: self.hub.clone(), uid: uid.as_str().into(), namespace: namespace.clone() };
        let adapter = ClusterAdapter::new(bus, node, &uid, self.hub.config.clone());
        for other in others {
            // Those that are there are known at once.
            let message = Message { uid: other, nsp: namespace.as_str().into(), body: Body::Heartbeat };
            adapter.deliver(message, None);
        }
        let weak = adapter.downgrade();
        tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let Some(adapter) = weak.upgrade() else { return };
                adapter.deliver(message, None);
            }
        });
        adapter
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess").field("lost", &self.lost_count()).finish_non_exhaustive()
    }
}

/// The bus of one server and namespace of an [`InProcess`] cluster. Dropping it leaves the cluster.
pub struct InProcessBus {
    hub: Arc<Hub>,
    uid: ByteString,
    namespace: String,
}

impl Bus for InProcessBus {
    fn send(&self, Transmit { target, message }: Transmit) {
        let filter = lock(&self.hub.filter).clone();
        let to: Vec<_> = lock(&self.hub.members)
            .iter()
            .filter(|member| member.namespace == self.namespace && member.uid != self.uid)
            .filter(|member| match &target {
                Target::All => true,
                Target::Server(uid) => member.uid == *uid,
            })
            .map(|member| (member.uid.clone(), member.messages.clone()))
            .collect();
        for (uid, messages) in to {
            let arrives = filter.as_ref().is_none_or(|arrives| arrives(&message, &uid));
            if arrives && let Err(TrySendError::Full(_)) = messages.try_send(message.clone()) {
                self.hub.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for InProcessBus {
    fn drop(&mut self) {
        lock(&self.hub.members).retain(|member| member.uid != self.uid);
        // The others do not wait for a server that is gone.
        let namespace = self.namespace.as_str().into();
        let message = Message { uid: self.uid.clone(), nsp: namespace, body: Body::AdapterClose };
        self.send(Transmit { target: Target::All, message });
    }
}

impl fmt::Debug for InProcessBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessBus").field("uid", &self.uid).field("namespace", &self.namespace).finish()
    }
}

//! What an adapter is asked for and what it can do: two servers joined by one in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure in a helper fails the test")]

mod common;

use common::{TestServer, Ws, soon};
use sockeye::{
    Binary, Io, RemoteSocketData, Room, Socket,
    adapter::{Adapter, AdapterError, BoxFuture, BroadcastOptions, BroadcastPacket, Node},
};
use std::sync::{Arc, Mutex};

/// The nodes of all namespaces, each with the number of its server.
type Nodes = Vec<(usize, Arc<dyn Node>)>;

/// What joins the servers.
#[derive(Clone, Default)]
struct Bus {
    nodes: Arc<Mutex<Nodes>>,
}

/// Calls the nodes of the other servers at once.
struct InMemory {
    bus: Bus,
    server: usize,
    namespace: String,
}

impl Bus {
    fn adapter(&self, server: usize) -> impl Fn(Arc<dyn Node>) -> InMemory + Send + Sync + 'static {
        let bus = self.clone();
        move |node| {
            let namespace = node.namespace().to_owned();
            bus.nodes.lock().unwrap().push((server, node));
            InMemory { bus: bus.clone(), server, namespace }
        }
    }
}

impl InMemory {
    fn others(&self) -> Vec<Arc<dyn Node>> {
        let nodes = self.bus.nodes.lock().unwrap();
        let others = nodes
            .iter()
            .filter(|(server, node)| *server != self.server && node.namespace() == self.namespace);
        others.map(|(_, node)| node.clone()).collect()
    }
}

impl Adapter for InMemory {
    fn broadcast(&self, packet: &BroadcastPacket, options: &BroadcastOptions) {
        self.others().iter().for_each(|node| node.broadcast(packet, options));
    }

    fn add_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.others().iter().for_each(|node| node.add_sockets(options, rooms));
    }

    fn remove_sockets(&self, options: &BroadcastOptions, rooms: &[Room]) {
        self.others().iter().for_each(|node| node.remove_sockets(options, rooms));
    }

    fn disconnect_sockets(&self, options: &BroadcastOptions, close: bool) {
        self.others().iter().for_each(|node| node.disconnect_sockets(options, close));
    }

    fn fetch_sockets<'a>(
        &'a self,
        options: &'a BroadcastOptions,
    ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError>> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(self.others().iter().flat_map(|node| node.fetch_sockets(options)).collect())
        })
    }

    fn server_count(&self) -> BoxFuture<'_, usize> {
        Box::pin(async { self.others().len() + 1 })
    }
}

/// Two servers, each with one client; the sockets' ids.
async fn two() -> ([TestServer; 2], [(Ws, String); 2]) {
    let bus = Bus::default();
    let servers = [0, 1].map(|server| Io::builder().adapter(bus.adapter(server)).build());
    for io in &servers {
        common::usual_handlers(io);
        io.on("tell others", async |socket: Socket| socket.broadcast().emit("told", ()));
    }
    let servers = [TestServer::start(&servers[0]).await, TestServer::start(&servers[1]).await];
    let clients = [Ws::join(&servers[0]).await, Ws::join(&servers[1]).await];
    (servers, clients)
}

#[tokio::test]
async fn broadcast_reaches_the_clients_of_all_servers_once() {
    let ([a, b], [(mut at_a, id_a), (mut at_b, id_b)]) = two().await;
    a.io.emit("all", "é").unwrap();
    b.io.to(id_a.as_str()).emit("a only", ()).unwrap();
    a.io.except(id_a.as_str()).emit("b only", ()).unwrap();
    b.io.local().emit("local", ()).unwrap();
    a.io.emit("bytes", (1, Binary(vec![1, 2].into()))).unwrap();
    at_b.send("42[\"tell others\"]").await;
    at_a.expect(&["42[\"all\",\"é\"]", "42[\"a only\"]"]).await;
    at_b.expect(&["42[\"all\",\"é\"]", "42[\"b only\"]", "42[\"local\"]"]).await;
    for ws in [&mut at_a, &mut at_b] {
        ws.expect(&["451-[\"bytes\",1,{\"_placeholder\":true,\"num\":0}]"]).await;
        assert_eq!(ws.next_binary().await, [1, 2]);
    }
    at_a.expect(&["42[\"told\"]"]).await;
    at_a.expect_alive().await;
    at_b.expect_alive().await;
    assert_ne!(id_a, id_b);
}

#[tokio::test]
async fn namespaces_are_apart_on_the_bus() {
    let ([a, b], [(mut at_a, _), (mut at_b, _)]) = two().await;
    for server in [&a, &b] {
        server.io.of("/chat");
    }
    at_b.connect("/chat,").await;
    a.io.of("/chat").emit("chat", ()).unwrap();
    at_b.expect(&["42/chat,[\"chat\"]"]).await;
    at_a.expect_alive().await;
}

#[tokio::test]
async fn sockets_of_all_servers_are_fetched_moved_and_disconnected() {
    let ([a, b], [(mut at_a, id_a), (mut at_b, id_b)]) = two().await;
    let ids = async |io: &Io, room: &str| {
        let mut ids: Vec<_> = soon(io.to(room).fetch_sockets()).await.unwrap();
        ids.sort_by(|left, right| left.id.cmp(&right.id));
        ids.iter().map(|socket| socket.id.to_string()).collect::<Vec<_>>()
    };
    let mut both = [id_a.clone(), id_b.clone()];
    both.sort();
    a.io.sockets_join("room");
    assert_eq!(ids(&b.io, "room").await, both);
    assert_eq!(soon(a.io.local().fetch_sockets()).await.unwrap().len(), 1);
    b.io.to(id_a.as_str()).sockets_leave("room");
    assert_eq!(ids(&a.io, "room").await, [&*id_b]);
    a.io.local().sockets_join("local");
    assert_eq!(ids(&b.io, "local").await, [&*id_a]);

    a.io.to("room").disconnect_sockets(false);
    at_b.expect(&["41"]).await;
    at_b.connect("").await;
    b.io.to(id_a.as_str()).disconnect_sockets(true);
    at_a.expect(&["41"]).await;
    at_a.expect_end().await;
    at_b.expect_alive().await;
    assert!(ids(&a.io, "room").await.is_empty());
}

#[tokio::test]
async fn node_whose_server_is_gone_does_nothing() {
    let bus = Bus::default();
    let gone = Io::builder().adapter(bus.adapter(0)).build();
    drop(gone);
    let io = Io::builder().adapter(bus.adapter(1)).build();
    let server = TestServer::start(&io).await;
    common::usual_handlers(&io);
    let (mut ws, _) = Ws::join(&server).await;
    server.io.emit("n", ()).unwrap();
    server.io.sockets_join("room");
    assert_eq!(server.io.fetch_sockets().await.unwrap().len(), 1);
    ws.expect(&["42[\"n\"]"]).await;
}

#[tokio::test]
async fn failing_cluster_is_an_error_of_fetching_and_of_nothing_else() {
    struct Down;
    impl Adapter for Down {
        fn broadcast(&self, _: &BroadcastPacket, _: &BroadcastOptions) {}
        fn add_sockets(&self, _: &BroadcastOptions, _: &[Room]) {}
        fn remove_sockets(&self, _: &BroadcastOptions, _: &[Room]) {}
        fn disconnect_sockets(&self, _: &BroadcastOptions, _: bool) {}
        fn fetch_sockets<'a>(
            &'a self,
            _: &'a BroadcastOptions,
        ) -> BoxFuture<'a, Result<Vec<RemoteSocketData>, AdapterError>> {
            Box::pin(async { Err(AdapterError::Disconnected) })
        }
        fn server_count(&self) -> BoxFuture<'_, usize> {
            Box::pin(async { 1 })
        }
    }
    let io = Io::builder().adapter(|_| Down).build();
    let server = TestServer::start(&io).await;
    let (mut ws, id) = Ws::join(&server).await;
    assert_eq!(server.io.fetch_sockets().await, Err(AdapterError::Disconnected));
    let local: Vec<_> = server.io.local().fetch_sockets().await.unwrap();
    assert_eq!(local.len(), 1);
    assert_eq!(*local[0].id, id);
    server.io.emit("n", ()).unwrap();
    ws.expect(&["42[\"n\"]"]).await;
}

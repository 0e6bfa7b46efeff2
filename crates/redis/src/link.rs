//! One connection to Redis: what there is between two outages.

use redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, ProtocolVersion, PushInfo, RedisError,
    RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use std::sync::Arc;

use crate::Config;

/// Where Redis is.
#[derive(Clone)]
pub(crate) enum Target {
    Single(Box<Client>),
    #[cfg(feature = "cluster")]
    Cluster(Vec<redis::ConnectionInfo>),
}

/// What is called with everything that Redis sends unasked. It must not block.
pub(crate) type OnPush = Arc<dyn Fn(PushInfo) + Send + Sync>;

impl Target {
    pub(crate) fn single(url: &str) -> RedisResult<Self> {
        Client::open(resp3(url)?).map(|client| Self::Single(Box::new(client)))
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> RedisResult<Self> {
        urls.into_iter().map(resp3).collect::<RedisResult<_>>().map(Self::Cluster)
    }

    /// Connects. Without `on_push` the connection cannot subscribe.
    pub(crate) async fn connect(&self, config: &Config, on_push: Option<OnPush>) -> RedisResult<Link> {
        let timeout = config.connect_timeout;
        let connecting = async {
            match self {
                Self::Single(client) => {
                    // The time that blocking commands take is theirs.
                    let mut options = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(timeout))
                        .set_response_timeout(None);
                    if let Some(on_push) = on_push {
                        options = options.set_push_sender(push_sender(on_push));
                    }
                    client.get_multiplexed_async_connection_with_config(&options).await.map(Link::Single)
                }
                #[cfg(feature = "cluster")]
                Self::Cluster(nodes) => {
                    let mut builder = redis::cluster::ClusterClientBuilder::new(nodes.iter().cloned())
                        .use_protocol(ProtocolVersion::RESP3)
                        .connection_timeout(timeout)
                        .response_timeout(config.response_timeout.saturating_mul(2));
                    if let Some(on_push) = on_push {
                        builder = builder.push_sender(push_sender(on_push));
                    }
                    builder.build()?.get_async_connection().await.map(Link::Cluster)
                }
            }
        };
        tokio::time::timeout(timeout, connecting).await.map_err(|_| timed_out("connecting"))?
    }
}

/// Only in the newer protocol a connection can subscribe and do everything else.
fn resp3(url: &str) -> RedisResult<redis::ConnectionInfo> {
    let info = url.into_connection_info()?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

fn push_sender(on_push: OnPush) -> impl Fn(PushInfo) -> Result<(), std::convert::Infallible> {
    move |info| {
        on_push(info);
        Ok(())
    }
}

pub(crate) fn timed_out(what: &'static str) -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, what))
}

/// A connection. Clones are the same one.
#[derive(Clone)]
pub(crate) enum Link {
    Single(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Link {
    fn connection(&mut self) -> &mut (dyn ConnectionLike + Send) {
        match self {
            Self::Single(connection) => connection,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection,
        }
    }

    /// Whether it connects and subscribes again by itself.
    pub(crate) const fn mends_itself(&self) -> bool {
        match self {
            Self::Single(_) => false,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => true,
        }
    }

    /// Does one command.
    pub(crate) async fn query(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.connection().req_packed_command(command).await?.extract_error()
    }

    /// Does several commands in one round trip. The outer error is that of the connection, the others are Redis' answers.
    pub(crate) async fn query_all(&mut self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Single(connection) => commands.query_async(connection).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => query_cluster(connection, commands).await,
        }
    }
}

/// A pipeline in a cluster sends every command to one server; those that all servers have to answer go alone.
#[cfg(feature = "cluster")]
async fn query_cluster(
    connection: &mut redis::cluster_async::ClusterConnection,
    commands: &Pipeline,
) -> RedisResult<Vec<RedisResult<Value>>> {
    if commands.is_transaction() {
        return commands.query_async(connection).await;
    }
    let is_for_all =
        |command: &&Cmd| matches!(command.args_iter().next(), Some(redis::Arg::Simple(b"PUBSUB")));
    let mut others = Pipeline::with_capacity(commands.len());
    commands.cmd_iter().filter(|command| !is_for_all(command)).for_each(|command| {
        others.add_command(command.clone());
    });
    let mut answers = Vec::new();
    if !others.is_empty() {
        answers = others.ignore_errors().query_async(connection).await?;
    }
    let mut answers: std::collections::VecDeque<RedisResult<Value>> = answers.into();
    let mut all = Vec::with_capacity(commands.len());
    for command in commands.cmd_iter() {
        let answer = if is_for_all(&command) {
            connection.req_packed_command(command).await.and_then(Value::extract_error)
        } else {
            answers.pop_front().unwrap_or_else(|| Err(timed_out("an answer")))
        };
        all.push(answer);
    }
    Ok(all)
}

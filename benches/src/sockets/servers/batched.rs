//! One write per batch for libraries that are a `Stream` and a `Sink` of messages.

use futures_util::{Sink, SinkExt, Stream, StreamExt, future::poll_immediate};

/// Feeds what `reply` makes of each message, and flushes when no further one is there at once. Ends with the stream.
pub(super) async fn echo<S, M, I, E>(
    socket: &mut S,
    mut reply: impl FnMut(I) -> Result<Option<M>, E>,
) -> Result<(), E>
where
    S: Stream<Item = I> + Sink<M, Error = E> + Unpin,
{
    loop {
        let next = match poll_immediate(socket.next()).await {
            Some(next) => next,
            None => {
                socket.flush().await?;
                socket.next().await
            }
        };
        let Some(item) = next else { return Ok(()) };
        if let Some(message) = reply(item)? {
            socket.feed(message).await?;
        }
    }
}

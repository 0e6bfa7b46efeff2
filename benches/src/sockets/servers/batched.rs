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

/// The most messages that [`echo_gathered`] holds.
const GATHERED_COUNT: usize = 256;

/// The same for a library that flushes whenever it is asked for the next message: takes all messages that are there,
/// then feeds all replies, then flushes.
pub(super) async fn echo_gathered<S, M, I, E>(
    socket: &mut S,
    mut reply: impl FnMut(I) -> Result<Option<M>, E>,
) -> Result<(), E>
where
    S: Stream<Item = I> + Sink<M, Error = E> + Unpin,
{
    let mut gathered = Vec::new();
    while let Some(item) = socket.next().await {
        gathered.push(item);
        while gathered.len() < GATHERED_COUNT
            && let Some(Some(item)) = poll_immediate(socket.next()).await
        {
            gathered.push(item);
        }
        for item in gathered.drain(..) {
            if let Some(message) = reply(item)? {
                socket.feed(message).await?;
            }
        }
        socket.flush().await?;
    }
    Ok(())
}

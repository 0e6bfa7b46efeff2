//! Binary packets: a text, then its attachments.
//!
//! ```text
//!            text of a plain packet: not held up, not stored
//!              ┌──────┐
//!              │      ▼
//!            ┌──────────┐   text that announces n attachments    ┌─────────────────┐
//!            │   idle   │ ─────────────────────────────────────▶ │ awaits n binary │ ──┐ binary, not
//!            │          │ ◀───────────────────────────────────── │    messages     │ ◀─┘ the last
//!            └──────────┘   the last binary: the packet is whole └─────────────────┘
//!             binary: error                                       text, timeout: error
//! ```

use alloc::{boxed::Box, vec::Vec};
use core::{ops::Range, time::Duration};

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    args::Args,
    error::DecodeError,
    event::Event,
    json,
    packet::{Limits, Packet, PacketType},
    placeholder,
};

/// What a peer may make an [`Assembler`] hold, and for how long.
///
/// ```
/// use sockeye_socketio::AssemblerLimits;
///
/// let limits = AssemblerLimits { max_bytes: 1_000_000, ..AssemblerLimits::default() };
/// assert_eq!(limits.max_attachments, 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssemblerLimits {
    /// Attachments of one packet. Default 10, as in the official parser. Beyond it: [`DecodeError::TooManyAttachments`].
    pub max_attachments: usize,
    /// Sum of the lengths of one packet's attachments, in bytes. Default 10,000,000: ten messages of Engine.IO's default
    /// maximum. Beyond it: [`DecodeError::AttachmentsTooLarge`].
    pub max_bytes: usize,
    /// Time from the text to the last attachment. Default 60 s, enough for slow uplinks and too little to hold memory for
    /// long. Beyond it: [`DecodeError::AttachmentTimeout`].
    pub max_wait: Duration,
}

impl Default for AssemblerLimits {
    fn default() -> Self {
        Self { max_attachments: 10, max_bytes: 10_000_000, max_wait: Duration::from_secs(60) }
    }
}

/// Puts the attachments of one connection's packets back to their text.
///
/// Packets without attachments only pass by, as slices. While idle it holds nothing but its limits. After an error the connection
/// must be closed; the assembler is idle then.
///
/// Times are durations since any fixed moment that the owner chooses.
///
/// ```
/// use bytes::Bytes;
/// use bytestring::ByteString;
/// use core::time::Duration;
/// use sockeye_socketio::{Assembler, Binary, DecodeError, Limits};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut assembler = Assembler::default();
/// let now = Duration::ZERO;
///
/// // A text message:
/// let text = ByteString::from_static(r#"51-["upload",{"_placeholder":true,"num":0}]"#);
/// let packet = assembler.decode(&text, &Limits::default())?;
/// if packet.attachment_count == 0 {
///     // Dispatch it.
/// } else {
///     assembler.begin(text.clone(), &packet, now)?;
/// }
///
/// // A binary message:
/// if let Some(assembled) = assembler.binary(Bytes::from_static(b"\x89PNG"))? {
///     let event = assembled.event()?;
///     assert_eq!(event.name, "upload");
///     assert_eq!(&event.args.first::<Binary>()?[..], b"\x89PNG");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Assembler {
    limits: AssemblerLimits,
    pending: Option<Box<Pending>>,
}

/// A packet that is not whole.
#[derive(Debug)]
struct Pending {
    text: ByteString,
    count: usize,
    attachments: Vec<Bytes>,
    len: usize,
    deadline: Duration,
}

impl Assembler {
    /// An idle assembler.
    #[must_use]
    pub const fn new(limits: AssemblerLimits) -> Self {
        Self { limits, pending: None }
    }

    /// Decodes a text message, which must not come while attachments are awaited.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedText`], and those of [`Packet::decode`].
    #[inline]
    pub fn decode<'a>(&mut self, text: &'a str, limits: &Limits) -> Result<Packet<'a>, DecodeError> {
        self.check_idle()?;
        Packet::decode(text, limits)
    }

    /// Takes the text of a packet that announces attachments.
    ///
    /// `packet` is what `text` was decoded to, and `now` is the time of its arrival.
    ///
    /// # Errors
    ///
    /// [`DecodeError::TooManyAttachments`]; [`DecodeError::UnexpectedText`] when the attachments of the last packet are
    /// still missing; [`DecodeError::InvalidAttachmentCount`] when `packet` has none, as it should then be dispatched at once.
    pub fn begin(&mut self, text: ByteString, packet: &Packet<'_>, now: Duration) -> Result<(), DecodeError> {
        self.check_idle()?;
        let count = packet.attachment_count;
        let max = self.limits.max_attachments;
        if count == 0 {
            return Err(DecodeError::InvalidAttachmentCount);
        }
        if count > max {
            return Err(DecodeError::TooManyAttachments { count, max });
        }
        let deadline = now.saturating_add(self.limits.max_wait);
        // Room only for what arrives, not for what is announced.
        let pending = Pending { text, count, attachments: Vec::new(), len: 0, deadline };
        self.pending = Some(Box::new(pending));
        Ok(())
    }

    /// Takes a binary message; returns the packet if it was the last one that was missing.
    ///
    /// The JSON of a packet that is whole has been checked, and so have its placeholders.
    ///
    /// # Errors
    ///
    /// [`DecodeError::UnexpectedBinary`], [`DecodeError::AttachmentsTooLarge`]; with the last attachment,
    /// [`DecodeError::InvalidPlaceholder`] and those of [`Packet::validate`].
    pub fn binary(&mut self, attachment: Bytes) -> Result<Option<Assembled>, DecodeError> {
        let mut pending = self.pending.take().ok_or(DecodeError::UnexpectedBinary)?;
        pending.len = pending.len.saturating_add(attachment.len());
        if pending.len > self.limits.max_bytes {
            return Err(DecodeError::AttachmentsTooLarge { len: pending.len, max: self.limits.max_bytes });
        }
        pending.attachments.push(attachment);
        if pending.attachments.len() < pending.count {
            self.pending = Some(pending);
            return Ok(None);
        }
        Assembled::new(pending.text, pending.attachments).map(Some)
    }

    /// How many attachments are still missing; 0 while idle.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.pending.as_ref().map_or(0, |pending| pending.count - pending.attachments.len())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` while idle.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.pending.as_ref().map(|pending| pending.deadline)
    }

    /// Gives up waiting if it is time; may be called at any time.
    ///
    /// # Errors
    ///
    /// [`DecodeError::AttachmentTimeout`].
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), DecodeError> {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.pending = None;
            return Err(DecodeError::AttachmentTimeout { max: self.limits.max_wait });
        }
        Ok(())
    }

    #[inline]
    fn check_idle(&mut self) -> Result<(), DecodeError> {
        if self.pending.is_none() { Ok(()) } else { Err(self.unexpected_text()) }
    }

    #[cold]
    fn unexpected_text(&mut self) -> DecodeError {
        let missing = self.missing();
        self.pending = None;
        DecodeError::UnexpectedText { missing }
    }
}

/// A binary packet with all its attachments.
#[derive(Debug, Clone)]
pub struct Assembled {
    text: ByteString,
    attachments: Vec<Bytes>,
    packet_type: PacketType,
    ack_id: Option<u64>,
    /// Where the text has the namespace, unless it is the main one.
    namespace: Option<Range<usize>>,
    data_start: usize,
}

impl Assembled {
    /// Checks the payload and its placeholders, and brings those into their usual form.
    fn new(text: ByteString, attachments: Vec<Bytes>) -> Result<Self, DecodeError> {
        let Packet { packet_type, namespace, ack_id, data, .. } = Packet::decode(&text, &Limits::NONE)?;
        let data_start = text.len() - data.len();
        // Only digits and a dash can stand before the namespace.
        let slash = if namespace == "/" { None } else { text.find('/') };
        let namespace = slash.map(|slash| slash..slash + namespace.len());
        let mut rewritten = None;
        if !data.is_empty() {
            json::validate(data)?;
            rewritten = placeholder::normalize(data, attachments.len())?;
        }
        let text = match rewritten {
            Some(data) => ByteString::from([&text[..data_start], &data].concat()),
            None => text,
        };
        Ok(Self { text, attachments, packet_type, ack_id, namespace, data_start })
    }

    /// The text, as it came; only placeholders whose keys stand in an unusual order have been rewritten.
    #[must_use]
    pub const fn text(&self) -> &ByteString {
        &self.text
    }

    /// The attachments, in their order.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// The text and the attachments.
    #[must_use]
    pub fn into_parts(self) -> (ByteString, Vec<Bytes>) {
        (self.text, self.attachments)
    }

    /// The packet, like a plain one; its arguments need their [attachments](Args::with_attachments) yet.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        Packet {
            packet_type: self.packet_type,
            namespace: self.namespace.clone().map_or("/", |range| &self.text[range]),
            ack_id: self.ack_id,
            attachment_count: self.attachments.len(),
            data: &self.text[self.data_start..],
        }
    }

    /// The event, its arguments with their attachments.
    ///
    /// # Errors
    ///
    /// As [`Packet::event`].
    pub fn event(&self) -> Result<Event<'_>, DecodeError> {
        let Event { name, args } = self.packet().event()?;
        Ok(Event { name, args: args.with_attachments(&self.attachments) })
    }

    /// The arguments of the ack, with their attachments.
    ///
    /// # Errors
    ///
    /// As [`Packet::ack`].
    pub fn ack(&self) -> Result<Args<'_>, DecodeError> {
        Ok(self.packet().ack()?.with_attachments(&self.attachments))
    }
}

#[cfg(test)]
#[path = "assembler_tests.rs"]
mod tests;

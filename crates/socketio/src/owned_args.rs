//! Arguments that outlive the message that they came in.

use alloc::{string::String, vec::Vec};

use bytes::Bytes;
use serde::ser::SerializeSeq;

use crate::{args::Args, event_args::EventArgs, msgpack::Reader};

/// [`Args`] with memory of their own, still unread and in the form in which they came.
///
/// JSON text is copied; attachments and msgpack messages are shared.
///
/// ```
/// use sockeye_socketio::{Limits, OwnedArgs, Packet};
///
/// let owned: OwnedArgs = Packet::decode(r#"31["done",7]"#, &Limits::default())?.ack()?.into();
/// assert_eq!(owned.args().all::<(&str, u8)>()?, ("done", 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OwnedArgs(Form);

#[derive(Debug, Clone)]
enum Form {
    Json {
        array: String,
        attachments: Vec<Bytes>,
    },
    /// So many elements, which were checked.
    MsgPack {
        elements: Bytes,
        count: usize,
    },
}

impl OwnedArgs {
    /// The arguments, to be read.
    #[must_use]
    pub fn args(&self) -> Args<'_> {
        match &self.0 {
            Form::Json { array, attachments } => Args::of_array(array).with_attachments(attachments),
            Form::MsgPack { elements, count } => Args::from_msgpack(Reader::new(elements), *count),
        }
    }
}

impl From<Args<'_>> for OwnedArgs {
    fn from(args: Args<'_>) -> Self {
        Self(match args.msgpack() {
            Some((elements, count)) => Form::MsgPack { elements, count },
            None => {
                let (array, attachments) = args.to_text();
                Form::Json { array, attachments }
            }
        })
    }
}

impl EventArgs for OwnedArgs {
    fn serialize_args<S: SerializeSeq>(&self, seq: &mut S) -> Result<(), S::Error> {
        self.args().serialize_args(seq)
    }

    fn raw_attachments(&self) -> &[Bytes] {
        match &self.0 {
            Form::Json { attachments, .. } => attachments,
            Form::MsgPack { .. } => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Packet, encode_event, msgpack};

    fn passed_on(args: &OwnedArgs) -> (Vec<u8>, Vec<Bytes>) {
        let (mut out, mut attachments) = (Vec::new(), Vec::new());
        encode_event(&mut out, &mut attachments, "/", None, "e", args).unwrap();
        (out, attachments)
    }

    #[test]
    fn both_forms_are_read_and_passed_on_after_their_message_is_gone() {
        let attachments = [Bytes::from_static(b"bin")];
        let text = r#"2["e", {"_placeholder":true,"num":0} ,1]"#;
        let event = Packet::decode(text, &Limits::default()).unwrap().event().unwrap();
        let json = OwnedArgs::from(event.args.with_attachments(&attachments));

        let mut out = Vec::new();
        msgpack::encode_event(&mut out, "/", None, "e", &(Bytes::from_static(b"bin"), 1)).unwrap();
        let message = Bytes::from(out);
        let event = msgpack::Packet::decode(&message, &Limits::default()).unwrap().event().unwrap();
        let msgpack = OwnedArgs::from(event.args);
        drop(message);

        for owned in [json, msgpack] {
            assert_eq!(owned.args().all::<(&[u8], u8)>().unwrap(), (&b"bin"[..], 1));
            let (out, attachments) = passed_on(&owned);
            assert_eq!(out, br#"51-["e",{"_placeholder":true,"num":0},1]"#);
            assert_eq!(attachments, [&b"bin"[..]]);
        }
    }

    #[test]
    fn broken_json_stays_broken() {
        let owned = OwnedArgs::from(Args::from_array("[1,{]").unwrap());
        assert!(owned.args().all::<(u8,)>().unwrap_err().is_syntax());
    }
}

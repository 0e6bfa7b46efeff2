use alloc::{format, vec};

use super::*;
use crate::Binary;

const NOW: Duration = Duration::from_secs(5);
const ONE: &str = r#"51-["a",{"_placeholder":true,"num":0}]"#;
const TWO: &str = r#"52-/chat,7["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;

fn begin(assembler: &mut Assembler, text: &str) -> Result<(), DecodeError> {
    let text = ByteString::from(text);
    let packet = assembler.decode(&text, &Limits::default())?;
    assembler.begin(text.clone(), &packet, NOW)
}

fn begun(text: &str) -> Assembler {
    let mut assembler = Assembler::default();
    begin(&mut assembler, text).unwrap();
    assembler
}

fn assemble(text: &str, count: usize) -> Result<Assembled, DecodeError> {
    let mut assembler = begun(text);
    for _ in 1..count {
        assert!(assembler.binary(Bytes::from_static(b"x"))?.is_none());
    }
    Ok(assembler.binary(Bytes::from_static(b"x"))?.unwrap())
}

#[test]
fn a_plain_packet_passes_by() {
    let mut assembler = Assembler::default();
    let packet = assembler.decode(r#"2["a"]"#, &Limits::default()).unwrap();
    assert_eq!(packet.attachment_count, 0);
    assert_eq!(assembler.missing(), 0);
    assert_eq!(assembler.deadline(), None);
}

#[test]
fn a_packet_is_whole_with_its_last_attachment() {
    let mut assembler = begun(TWO);
    assert_eq!(assembler.missing(), 2);
    assert!(assembler.binary(Bytes::from_static(b"0")).unwrap().is_none());
    assert_eq!(assembler.missing(), 1);
    let assembled = assembler.binary(Bytes::from_static(b"1")).unwrap().unwrap();
    assert_eq!((assembler.missing(), assembler.deadline()), (0, None));
    let packet = assembled.packet();
    assert_eq!(packet, Packet::decode(TWO, &Limits::default()).unwrap());
    let event = assembled.event().unwrap();
    assert_eq!(event.name, "a");
    let (zero, one): (Binary, Binary) = event.args.all().unwrap();
    assert_eq!((&zero[..], &one[..]), (&b"0"[..], &b"1"[..]));
    assert!(assembled.ack().is_err());
    assert_eq!(assembled.into_parts().0, TWO);
}

#[test]
fn an_ack_is_put_together_too() {
    let assembled = assemble(r#"61-3[{"_placeholder":true,"num":0}]"#, 1).unwrap();
    assert_eq!(assembled.packet().ack_id, Some(3));
    assert_eq!(&assembled.ack().unwrap().first::<Binary>().unwrap()[..], b"x");
}

#[test]
fn text_while_attachments_are_awaited_is_an_error() {
    let mut assembler = begun(TWO);
    assert_eq!(
        assembler.decode("2[\"a\"]", &Limits::default()),
        Err(DecodeError::UnexpectedText { missing: 2 })
    );
    let mut assembler = begun(TWO);
    let packet = Packet::decode(ONE, &Limits::default()).unwrap();
    let error = assembler.begin(ByteString::from_static(ONE), &packet, NOW);
    assert_eq!(error, Err(DecodeError::UnexpectedText { missing: 2 }));
}

#[test]
fn binary_while_none_is_awaited_is_an_error() {
    let mut assembler = Assembler::default();
    assert_eq!(assembler.binary(Bytes::new()).unwrap_err(), DecodeError::UnexpectedBinary);
    let mut assembler = begun(ONE);
    assembler.binary(Bytes::new()).unwrap().unwrap();
    assert_eq!(assembler.binary(Bytes::new()).unwrap_err(), DecodeError::UnexpectedBinary);
}

#[test]
fn counts_beyond_the_limit_are_refused() {
    let mut assembler = Assembler::new(AssemblerLimits { max_attachments: 1, ..AssemblerLimits::default() });
    assert_eq!(begin(&mut assembler, TWO), Err(DecodeError::TooManyAttachments { count: 2, max: 1 }));
    assert_eq!(begin(&mut assembler, "2[\"a\"]"), Err(DecodeError::InvalidAttachmentCount));
    assert_eq!(begin(&mut assembler, "50-[\"a\"]"), Err(DecodeError::InvalidAttachmentCount));
}

#[test]
fn bytes_beyond_the_limit_are_refused() {
    let limits = AssemblerLimits { max_bytes: 5, ..AssemblerLimits::default() };
    let mut assembler = Assembler::new(limits);
    begin(&mut assembler, TWO).unwrap();
    assembler.binary(Bytes::from(vec![0; 3])).unwrap();
    assert_eq!(
        assembler.binary(Bytes::from(vec![0; 3])).unwrap_err(),
        DecodeError::AttachmentsTooLarge { len: 6, max: 5 }
    );
    assert_eq!(assembler.missing(), 0);
    begin(&mut assembler, TWO).unwrap();
    assembler.binary(Bytes::from(vec![0; 3])).unwrap();
    assert!(assembler.binary(Bytes::from(vec![0; 2])).unwrap().is_some());
}

#[test]
fn attachments_that_never_arrive_end_at_the_deadline() {
    let mut assembler = begun(TWO);
    assert_eq!(assembler.deadline(), Some(NOW + Duration::from_secs(60)));
    assembler.binary(Bytes::new()).unwrap();
    assert_eq!(assembler.handle_timeout(NOW + Duration::from_secs(59)), Ok(()));
    let max = Duration::from_secs(60);
    assert_eq!(assembler.handle_timeout(NOW + max), Err(DecodeError::AttachmentTimeout { max }));
    assert_eq!(assembler.deadline(), None);
    assert_eq!(assembler.handle_timeout(Duration::MAX), Ok(()));
}

#[test]
fn a_bad_placeholder_is_an_error_even_if_nobody_reads_it() {
    for num in ["-1", "1.5", "\"0\"", "99", "1"] {
        let text = format!(r#"51-["a",1,[{{"b":{{"_placeholder":true,"num":{num}}}}}]]"#);
        assert_eq!(assemble(&text, 1).unwrap_err(), DecodeError::InvalidPlaceholder, "{text}");
    }
    assert_eq!(
        assemble(r#"51-["a",{"_placeholder":true}]"#, 1).unwrap_err(),
        DecodeError::InvalidPlaceholder
    );
}

#[test]
fn broken_json_is_an_error_even_if_nobody_reads_it() {
    assert!(matches!(assemble(r#"51-["a",{]"#, 1), Err(DecodeError::InvalidJson { .. })));
    let deep = format!("51-[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(assemble(&deep, 1).unwrap_err(), DecodeError::TooDeep { max: 127 });
}

#[test]
fn placeholders_in_another_order_work_for_every_type() {
    let text = r#"51-/été,["a",{"num":0,"_placeholder":true}]"#;
    let assembled = assemble(text, 1).unwrap();
    assert_eq!(assembled.packet().namespace, "/été");
    assert_eq!(assembled.packet().data, r#"["a",{"_placeholder":true,"num":0}]"#);
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Either {
        Bytes(Bytes),
    }
    let Either::Bytes(bytes) = assembled.event().unwrap().args.first().unwrap();
    assert_eq!(bytes, "x");
}

#[test]
fn attachments_without_payload_or_placeholder_are_allowed() {
    assert_eq!(assemble("51-", 1).unwrap().event().unwrap().name, "");
    let assembled = assemble("52-[\"a\"]", 2).unwrap();
    assert_eq!(assembled.attachments().len(), 2);
    assembled.event().unwrap().args.all::<()>().unwrap();
}

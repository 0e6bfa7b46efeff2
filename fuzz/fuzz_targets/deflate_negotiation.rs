//! Offers to a server and responses to a client: a slow model reads the same from them, whatever is agreed holds at
//! both ends, and any client comes to an agreement with any server.
//!
//! Input: a byte of flags (bits 0 and 1 are the context takeovers of the server's configuration, 2 and 3 those of the
//! client's), four bytes with their windows, and the values of the header, one a line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sockeye_fuzz::extensions::{Read, Refusal, accepted, judged, read};
use sockeye_websocket::{
    deflate::{Agreement, Config, Params, ResponseError},
    handshake::HandshakeError,
};

/// A client that takes everything.
const OPEN: Config = Config {
    level: 1,
    threshold: 0,
    own_context_takeover: true,
    peer_context_takeover: true,
    max_own_window_bits: 15,
    max_peer_window_bits: 15,
};

fuzz_target!(|data: &[u8]| {
    let Some((&[flags, windows @ ..], text)) = data.split_first_chunk::<5>() else { return };
    let text = String::from_utf8_lossy(text);
    let values: Vec<&str> = text.split('\n').collect();
    let server = config(flags, [windows[0], windows[1]]);
    let client = config(flags >> 2, [windows[2], windows[3]]);
    let model = read(values.iter().copied());
    assert_accepted(&values, &model, &server);
    assert_judged(&values, &model, &client);
    assert_agree(&client, &server);
});

/// Half of the windows are in their range.
fn config(flags: u8, windows: [u8; 2]) -> Config {
    let [own, peer] = windows.map(|bits| if bits & 0x80 == 0 { 8 + bits % 8 } else { bits & 0x7F });
    Config {
        own_context_takeover: flags & 1 != 0,
        peer_context_takeover: flags & 2 != 0,
        max_own_window_bits: own,
        max_peer_window_bits: peer,
        ..OPEN
    }
}

fn assert_accepted(offers: &[&str], model: &[Read], config: &Config) {
    let agreement = Agreement::from_offers(offers.iter().copied(), config);
    let expected = accepted(model, config);
    assert_eq!(agreement.map(|agreement| agreement.params), expected.as_ref().map(|(_, params)| *params));
    // Several fields are one list, unless one of them ends within a quoted string.
    if !offers.iter().any(|offer| offer.contains('"')) {
        assert_eq!(Agreement::from_offers([offers.join(",").as_str()], config), agreement);
    }
    let (Some(agreement), Some((offer, params))) = (agreement, expected) else { return };
    assert!((9..=15).contains(&params.own_window_bits) && (8..=15).contains(&params.peer_window_bits));
    assert!(params.can_compress());

    let response = agreement.to_string();
    let read = read([response.as_str()]);
    let [Read::Deflate(answer)] = &read[..] else { panic!("{response}") };
    // §7.1.1.1, §7.1.2.1: accepted "by including" it; §7.1.2.2: not without an offer, and never without a value.
    assert!(answer.server_no_context_takeover || !offer.server_no_context_takeover, "{response}");
    if let Some(max) = offer.server_max_window_bits {
        assert!(answer.server_max_window_bits.is_some_and(|bits| bits <= max), "{response}");
    }
    if let Some(limit) = answer.client_max_window_bits {
        assert!(offer.client_max_window_bits.is_some() && limit.is_some(), "{response}");
    }
    let theirs = Params::from_response([response.as_str()], &OPEN).expect("it answers").expect("and accepts");
    // A client that announced less keeps to that by itself.
    assert!(theirs.own_window_bits >= params.peer_window_bits);
    assert_eq!(mirrored(Params { own_window_bits: params.peer_window_bits, ..theirs }), params);
}

fn mirrored(params: Params) -> Params {
    Params {
        own_context_takeover: params.peer_context_takeover,
        peer_context_takeover: params.own_context_takeover,
        own_window_bits: params.peer_window_bits,
        peer_window_bits: params.own_window_bits,
    }
}

fn assert_judged(response: &[&str], model: &[Read], config: &Config) {
    let judgement = Params::from_response(response.iter().copied(), config);
    let refusal = judgement.as_ref().map_err(|error| match error {
        HandshakeError::UnofferedExtension(name) => {
            assert!(model.contains(&Read::Other(name.to_string())), "{name}");
            Refusal::Unoffered
        }
        HandshakeError::Deflate(
            ResponseError::ServerContextTakeover
            | ResponseError::ServerWindowTooLarge { .. }
            | ResponseError::ClientWindowTooLarge { .. },
        ) => Refusal::NotAnswering,
        HandshakeError::Deflate(_) => Refusal::Wrong,
        error => panic!("{error}"),
    });
    assert_eq!(refusal.copied(), judged(model, config));
    let Ok(Some(params)) = judgement else { return };
    assert!((8..=15).contains(&params.own_window_bits) && (8..=15).contains(&params.peer_window_bits));
    assert_eq!(params.can_compress(), params.own_window_bits > 8);
    assert!(params.own_window_bits <= config.max_own_window_bits.clamp(9, 15));
    assert!(params.peer_window_bits <= config.max_peer_window_bits.clamp(8, 15));
    assert!(config.own_context_takeover || !params.own_context_takeover);
    assert!(config.peer_context_takeover || !params.peer_context_takeover);
}

/// The offer of any client to any server.
fn assert_agree(client: &Config, server: &Config) {
    let offer = client.offer();
    let Some(agreement) = Agreement::from_offers([offer.as_str()], server) else {
        assert!(
            client.max_peer_window_bits <= 8,
            "a server window of 8 bits is all that is declined: {offer}"
        );
        return;
    };
    let response = agreement.to_string();
    let theirs =
        Params::from_response([response.as_str()], client).expect("it answers").expect("and accepts");
    assert_eq!(mirrored(theirs), agreement.params, "{offer} and {response}");
    assert!(client.own_context_takeover || !theirs.own_context_takeover);
    assert!(server.own_context_takeover || !theirs.peer_context_takeover);
}

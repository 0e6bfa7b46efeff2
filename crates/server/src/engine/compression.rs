//! Compression of answers over HTTP, by what the client accepts.

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, HeaderValue, header};
use std::io::{self, Write};

/// Above this many bytes compressing takes so long that it is done aside from the runtime's own threads.
const ASIDE_LEN: usize = 64 * 1024;

/// How answers to polls are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpCompression {
    /// Answers shorter than this many bytes are sent as they are: they hardly shrink. Default 1024.
    pub threshold: usize,
    /// How hard to compress: 0 (stored) to 9 (smallest); higher values are taken as 9. Default 1, the fastest that
    /// makes anything smaller: polled JSON shrinks to nearly the same with it.
    pub level: u8,
}

impl Default for HttpCompression {
    fn default() -> Self {
        Self { threshold: 1024, level: 1 }
    }
}

/// A content coding (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Gzip,
    Deflate,
}

impl Encoding {
    /// The one that the client prefers; gzip, when it does not care.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut weights = [None; 2];
        let mut others = None;
        let accepted =
            headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for coding in accepted.flat_map(|value| value.split(',')) {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = Some(weight(parameters));
            match name.trim() {
                name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => {
                    weights[0] = weight;
                }
                name if name.eq_ignore_ascii_case("deflate") => weights[1] = weight,
                "*" => others = weight,
                _ => {}
            }
        }
        let [gzip, deflate] = weights.map(|weight| weight.or(others).unwrap_or(0));
        match (gzip, deflate) {
            (0, 0) => None,
            _ if gzip >= deflate => Some(Self::Gzip),
            _ => Some(Self::Deflate),
        }
    }

    pub(crate) const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        })
    }

    fn encode(self, level: u8, body: &[u8]) -> io::Result<Vec<u8>> {
        let level = Compression::new(level.min(9).into());
        let out = Vec::with_capacity(body.len() / 4);
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
            // What HTTP calls deflate is in the frame of zlib.
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, level);
                encoder.write_all(body)?;
                encoder.finish()
            }
        }
    }

    /// Compresses `body`, a long one aside; `None` when that fails, and it has to be sent as it is.
    pub(crate) async fn compress(self, level: u8, body: &Bytes) -> Option<Vec<u8>> {
        if body.len() < ASIDE_LEN {
            return self.encode(level, body).ok();
        }
        let body = body.clone();
        tokio::task::spawn_blocking(move || self.encode(level, &body)).await.ok()?.ok()
    }
}

/// The weight of a coding in thousandths (RFC 9110 §12.4.2); one that is malformed counts as none.
fn weight(parameters: &str) -> u16 {
    let parameter = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    let Some(value) = parameter else { return 1000 };
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if digits => format!("{fraction:0<3}").parse().unwrap_or(0),
        "1" if digits && fraction.bytes().all(|byte| byte == b'0') => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::{GzDecoder, ZlibDecoder};
    use std::io::Read;

    fn accepted(values: &[&str]) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        Encoding::accepted(&headers)
    }

    #[test]
    fn client_gets_what_it_prefers() {
        for (values, expected) in [
            (&["gzip"][..], Some(Encoding::Gzip)),
            (&["deflate"], Some(Encoding::Deflate)),
            (&["gzip, deflate, br, zstd"], Some(Encoding::Gzip)),
            (&["deflate, gzip"], Some(Encoding::Gzip)),
            (&["gzip;q=0.5, deflate;q=0.8"], Some(Encoding::Deflate)),
            (&["gzip;q=0.5", "deflate;q=0.501"], Some(Encoding::Deflate)),
            (&["GZIP ; Q=1.000"], Some(Encoding::Gzip)),
            (&["*"], Some(Encoding::Gzip)),
            (&["gzip;q=0, *"], Some(Encoding::Deflate)),
            (&["gzip;q=0, *;q=0"], None),
            (&["gzip;q=0"], None),
            (&["br, zstd, identity"], None),
            (&["gzip;q=x", "deflate;q=1.1", "deflate;q=0.0001"], None),
            (&[""], None),
            (&[",;,;q="], None),
            (&[], None),
        ] {
            assert_eq!(accepted(values), expected, "{values:?}");
        }
    }

    #[test]
    fn value_that_is_no_text_is_nothing() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_bytes(b"gzip\xff").unwrap());
        assert_eq!(Encoding::accepted(&headers), None);
    }

    #[tokio::test]
    async fn short_and_long_bodies_are_what_the_client_decodes() {
        for len in [0, 2000, 3 * ASIDE_LEN] {
            let body = Bytes::from("sockeye ".repeat(len / 8));
            for level in [0, 1, 9, 255] {
                let gzip = Encoding::Gzip.compress(level, &body).await.unwrap();
                let deflate = Encoding::Deflate.compress(level, &body).await.unwrap();
                let (mut from_gzip, mut from_deflate) = (Vec::new(), Vec::new());
                GzDecoder::new(&*gzip).read_to_end(&mut from_gzip).unwrap();
                ZlibDecoder::new(&*deflate).read_to_end(&mut from_deflate).unwrap();
                assert_eq!((&from_gzip, &from_deflate), (&body.to_vec(), &body.to_vec()));
            }
        }
    }
}

//! The client that the server hands out: the files of the official bundle, `<path>/socket.io.js` and its siblings.

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use sha1::{Digest, Sha1};
use std::{fmt::Write as _, fs, io, io::Write as _, path::Path, sync::OnceLock};

use crate::engine::{compression::Encoding, respond::Answer};

/// The files that are served, and no others.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
];

/// The files of the bundle, in memory.
#[derive(Debug)]
pub(crate) struct ClientFiles(Vec<ClientFile>);

#[derive(Debug)]
struct ClientFile {
    name: &'static str,
    etag: HeaderValue,
    content: Bytes,
    /// The same compressed, by whom it is first wanted.
    gzip: OnceLock<Option<Bytes>>,
}

impl ClientFiles {
    /// Reads those of the files that the directory has.
    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for name in NAMES {
            match fs::read(directory.join(name)) {
                Ok(content) => files.push(ClientFile::new(name, content)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if files.is_empty() {
            let text = format!("no file of the Socket.IO client in {}", directory.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(Self(files))
    }

    /// The answer to a request for the file with this name; `None` when it is not served.
    pub(crate) fn answer<B>(&self, name: &str, request: &Request<B>) -> Option<Answer> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return None;
        }
        let file = self.0.iter().find(|file| file.name == name)?;
        Some(file.answer(request.headers()))
    }
}

impl ClientFile {
    fn new(name: &'static str, content: Vec<u8>) -> Self {
        let mut etag = String::from("\"");
        for byte in &Sha1::digest(&content)[..10] {
            // Writing to a String never fails.
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { name, etag, content: content.into(), gzip: OnceLock::new() }
    }

    fn answer(&self, headers: &HeaderMap) -> Answer {
        let mut response = Response::new(Full::default());
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
        fields.insert(header::ETAG, self.etag.clone());
        fields.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if self.is_known(headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let content_type = if self.name.ends_with(".map") {
            "application/json; charset=utf-8"
        } else {
            "application/javascript; charset=utf-8"
        };
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        let wants_gzip = Encoding::accepted(headers) == Some(Encoding::Gzip);
        let body = match wants_gzip.then(|| self.gzip()).flatten() {
            Some(gzip) => {
                fields.insert(header::CONTENT_ENCODING, Encoding::Gzip.header());
                gzip
            }
            None => &self.content,
        };
        *response.body_mut() = Full::new(body.clone());
        response
    }

    /// Whether the client has this very content (RFC 9110 §13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        known
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes())
    }

    fn gzip(&self) -> Option<&Bytes> {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&self.content).ok()?;
            Some(encoder.finish().ok()?.into())
        };
        self.gzip.get_or_init(compress).as_ref()
    }
}

//! The static files, which are part of the program.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use std::convert::Infallible;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, content type, content.
const FILES: [(&str, &str, &str); 9] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/chat.js", JAVASCRIPT, include_str!("page/chat.js")),
    ("/view.js", JAVASCRIPT, include_str!("page/view.js")),
    ("/composer.js", JAVASCRIPT, include_str!("page/composer.js")),
    ("/panels.js", JAVASCRIPT, include_str!("page/panels.js")),
    ("/sockeye.js", JAVASCRIPT, include_str!("page/sockeye.js")),
    ("/engineio.js", JAVASCRIPT, include_str!("page/engineio.js")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
];

/// The page runs its own scripts and nothing else, whatever people write: should it ever show markup of theirs, the
/// browser refuses to carry it out.
const HEADERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-cache"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// Answers with a file, or with 404. To HEAD as well: hyper leaves out the body by itself.
pub(crate) async fn serve<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let readable = matches!(*request.method(), Method::GET | Method::HEAD);
    let file = FILES.iter().find(|(path, ..)| readable && *path == request.uri().path());
    let Some(&(_, content_type, content)) = file else {
        let mut response = Response::new(Full::from("not found\n"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    let mut response = Response::new(Full::from(content));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    Ok(response)
}

//! The server as a tower service and layer.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::{
    convert::Infallible,
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    engine::{self, EngineInner, Host, Shared},
    io::IoInner,
};

/// Answers requests for the server's path, and hands others on to the service `S`.
///
/// It serves HTTP/1.1 of hyper and of everything on top of it, such as axum (`Router::layer`, or `fallback_service`).
#[derive(Clone)]
pub struct EngineService<S> {
    served: Served,
    inner: S,
}

/// What is served: Socket.IO, or Engine.IO alone.
#[derive(Clone)]
pub(crate) enum Served {
    SocketIo(Arc<IoInner>),
    Engine(Arc<EngineInner>),
}

impl Served {
    fn shared(&self) -> &Shared {
        match self {
            Self::SocketIo(io) => io.engine(),
            Self::Engine(engine) => engine.engine(),
        }
    }

    fn path(&self) -> &str {
        &self.shared().config.path
    }

    fn answer<B>(&self, request: Request<B>) -> BoxFuture<Response<Full<Bytes>>>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        match self {
            Self::SocketIo(io) => Box::pin(engine::handle(io.clone(), request)),
            Self::Engine(engine) => Box::pin(engine::handle(engine.clone(), request)),
        }
    }
}

impl<S> EngineService<S> {
    pub(crate) const fn new(served: Served, inner: S) -> Self {
        Self { served, inner }
    }

    /// Whether a path is the server's: the configured one, with or without a slash, or below it.
    fn is_own(&self, path: &str) -> bool {
        let own = self.served.path().trim_end_matches('/');
        path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl<S> fmt::Debug for EngineService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineService").field("path", &self.served.path()).finish_non_exhaustive()
    }
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S, B, R> Service<Request<B>> for EngineService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ServiceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.is_own(request.uri().path()) {
            ServiceFuture(Inner::Own(self.served.answer(request)))
        } else {
            ServiceFuture(Inner::Other(Box::pin(self.inner.call(request))))
        }
    }
}

/// The future of [`EngineService`].
pub struct ServiceFuture<F>(Inner<F>);

enum Inner<F> {
    Own(BoxFuture<Response<Full<Bytes>>>),
    Other(Pin<Box<F>>),
}

impl<F, R, E> Future for ServiceFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Inner::Own(future) => {
                future.as_mut().poll(cx).map(|response| Ok(response.map(ResponseBody::own)))
            }
            Inner::Other(future) => future
                .as_mut()
                .poll(cx)
                .map(|response| response.map(|response| response.map(ResponseBody::other))),
        }
    }
}

impl<F> fmt::Debug for ServiceFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceFuture")
    }
}

/// The body of a response of [`EngineService`]: its own, or the inner service's.
#[derive(Debug)]
pub struct ResponseBody<R>(BodyKind<R>);

#[derive(Debug)]
enum BodyKind<R> {
    Own(Full<Bytes>),
    Other(Pin<Box<R>>),
}

impl<R> ResponseBody<R> {
    const fn own(body: Full<Bytes>) -> Self {
        Self(BodyKind::Own(body))
    }

    fn other(body: R) -> Self {
        Self(BodyKind::Other(Box::pin(body)))
    }
}

impl<R: Body<Data = Bytes>> Body for ResponseBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match &mut self.0 {
            BodyKind::Own(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            BodyKind::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Own(body) => body.is_end_stream(),
            BodyKind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyKind::Own(body) => body.size_hint(),
            BodyKind::Other(body) => body.size_hint(),
        }
    }
}

/// Answers everything with 404: what is behind a server that is alone. The connection of a request that asks for another
/// protocol ends with the answer: nobody else is there who could want it.
#[derive(Debug, Clone, Copy)]
pub struct NotFound;

impl<B> Service<Request<B>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(b"not found\n")));
        *response.status_mut() = StatusCode::NOT_FOUND;
        if request.headers().contains_key(header::UPGRADE) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        ready(Ok(response))
    }
}

/// Puts a server in front of a service; see [`Io::layer`](crate::Io::layer) and
/// [`Engine::layer`](crate::engine::Engine::layer).
#[derive(Clone)]
pub struct EngineLayer {
    served: Served,
}

impl EngineLayer {
    pub(crate) const fn new(served: Served) -> Self {
        Self { served }
    }
}

impl<S> Layer<S> for EngineLayer {
    type Service = EngineService<S>;

    fn layer(&self, inner: S) -> EngineService<S> {
        EngineService::new(self.served.clone(), inner)
    }
}

impl fmt::Debug for EngineLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineLayer").field("path", &self.served.path()).finish_non_exhaustive()
    }
}

//! One layer of tower-http or tower at a time: inside the session layer, outside it, and on both sides.

use std::{any::Any, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::Full;
use hyper::body::Bytes;
use tower::{ServiceBuilder, buffer::BufferLayer, limit::ConcurrencyLimitLayer, load_shed::LoadShedLayer};
use tower_http::{
    add_extension::AddExtensionLayer,
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::CorsLayer,
    csrf::CsrfLayer,
    decompression::{DecompressionLayer, RequestDecompressionLayer},
    limit::RequestBodyLimitLayer,
    map_request_body::MapRequestBodyLayer,
    map_response_body::MapResponseBodyLayer,
    normalize_path::NormalizePathLayer,
    propagate_header::PropagateHeaderLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    sensitive_headers::SetSensitiveHeadersLayer,
    set_header::{SetRequestHeaderLayer, SetResponseHeaderLayer},
    timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer},
    trace::TraceLayer,
    validate_request::ValidateRequestHeaderLayer,
};

use crate::support::{Who, World};

const LONG: Duration = Duration::from_secs(60);

/// A test for each layer, with services whose bodies are hyper's and axum's.
macro_rules! inside_and_outside {
    ($($name:ident: $layer:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            let world = World::new();
            let ours = || world.sessions.layer();
            let build = ServiceBuilder::new;

            let stack = build().layer(ours()).layer($layer).service(Who::<Full<Bytes>>::new());
            world.check::<_, Full<Bytes>, _>(stack).await;
            let stack = build().layer($layer).layer(ours()).service(Who::<Full<Bytes>>::new());
            world.check::<_, Full<Bytes>, _>(stack).await;
            let stack =
                build().layer($layer).layer(ours()).layer($layer).service(Who::<Full<Bytes>>::new());
            world.check::<_, Full<Bytes>, _>(stack).await;

            let stack = build().layer(ours()).layer($layer).service(Who::<axum::body::Body>::new());
            world.check::<_, axum::body::Body, _>(stack).await;
            let stack = build().layer($layer).layer(ours()).service(Who::<axum::body::Body>::new());
            world.check::<_, axum::body::Body, _>(stack).await;
        })*
    };
}

inside_and_outside! {
    trace: TraceLayer::new_for_http();
    compression: CompressionLayer::new();
    decompression: DecompressionLayer::new();
    request_decompression: RequestDecompressionLayer::new();
    body_limit: RequestBodyLimitLayer::new(1024);
    catch_panic: CatchPanicLayer::custom(|_: Box<dyn Any + Send>| Response::new(Full::<Bytes>::default()));
    cors: CorsLayer::permissive();
    csrf: CsrfLayer::new();
    timeout: TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, LONG);
    request_body_timeout: RequestBodyTimeoutLayer::new(LONG);
    response_body_timeout: ResponseBodyTimeoutLayer::new(LONG);
    set_request_header: SetRequestHeaderLayer::overriding(
        HeaderName::from_static("x-from"), HeaderValue::from_static("us"));
    set_response_header: SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-by"), HeaderValue::from_static("us"));
    propagate_header: PropagateHeaderLayer::new(HeaderName::from_static("x-from"));
    sensitive_headers: SetSensitiveHeadersLayer::new([http::header::COOKIE]);
    request_id: SetRequestIdLayer::x_request_id(MakeRequestUuid);
    propagate_request_id: PropagateRequestIdLayer::x_request_id();
    normalize_path: NormalizePathLayer::trim_trailing_slash();
    add_extension: AddExtensionLayer::new("something");
    map_request_body: MapRequestBodyLayer::new(|body| body);
    validate_request: ValidateRequestHeaderLayer::accept("application/json");
    concurrency_limit: ConcurrencyLimitLayer::new(8);
    load_shed: LoadShedLayer::new();
    tower_timeout: tower::timeout::TimeoutLayer::new(LONG);
}

#[tokio::test]
async fn map_response_body() {
    let world = World::new();
    let ours = || world.sessions.layer();
    let boxed = || MapResponseBodyLayer::new(|body: Full<Bytes>| http_body_util::BodyExt::boxed(body));
    let stack = ServiceBuilder::new().layer(ours()).layer(boxed()).service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
    let stack = ServiceBuilder::new()
        .layer(MapResponseBodyLayer::new(http_body_util::BodyExt::boxed))
        .layer(ours())
        .service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
}

#[tokio::test]
async fn buffer() {
    let world = World::new();
    let layer = || BufferLayer::<Request<Full<Bytes>>>::new(8);
    let stack =
        ServiceBuilder::new().layer(world.sessions.layer()).layer(layer()).service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
    let stack =
        ServiceBuilder::new().layer(layer()).layer(world.sessions.layer()).service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
}

/// A whole stack, in both orders.
#[tokio::test]
async fn many_at_once() {
    let world = World::new();
    let stack = ServiceBuilder::new()
        .layer(world.sessions.layer())
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(CatchPanicLayer::new())
        .layer(LoadShedLayer::new())
        .layer(ConcurrencyLimitLayer::new(8))
        .service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
    let stack = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(1024))
        .layer(CatchPanicLayer::new())
        .layer(world.sessions.layer())
        .service(Who::<Full<Bytes>>::new());
    world.check::<_, Full<Bytes>, _>(stack).await;
}

#[tokio::test]
async fn response_body_is_as_sync_and_as_small_as_the_inner_one() {
    fn sync<T: HttpBody + Send + Sync + Unpin>() {}
    sync::<tower_sliding_sessions::ResponseBody<Full<Bytes>>>();
    let ours = size_of::<tower_sliding_sessions::ResponseBody<axum::body::Body>>();
    assert!(ours <= size_of::<axum::body::Body>() + size_of::<usize>(), "{ours}");
}

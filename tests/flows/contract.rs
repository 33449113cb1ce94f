//! The layer as a `tower` middleware: without axum, with other bodies, and by the contract of `Service`.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use axum::body::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_sliding_sessions::{Require, Session, SessionLayer, SessionService, Sessions, Visitor};

use crate::support::{Browser, Profile, TTL, World, idle, keys};

type Page = Full<Bytes>;

/// A request to a service without axum.
fn request(browser: &Browser) -> Request<Page> {
    browser.get("/me").0.map(|_| Page::default())
}

/// A service that panics if it is called before it was ready. Each clone must become ready itself.
#[derive(Debug, Default)]
struct Picky {
    ready: bool,
    calls: Arc<AtomicUsize>,
    /// Once set, it never becomes ready again.
    busy: Arc<AtomicBool>,
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self { ready: false, calls: self.calls.clone(), busy: self.busy.clone() }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Failure(&'static str);

impl Service<Request<Page>> for Picky {
    type Response = Response<Page>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Page>, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.busy.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Failure("busy")));
        }
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Page>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called before it was ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let subject = Session::<Profile>::of(&request).map(|session| session.subject().to_owned());
        Box::pin(async move {
            match subject {
                Some(subject) => Ok(Response::new(Full::from(subject))),
                None => Err(Failure("no user")),
            }
        })
    }
}

#[tokio::test]
async fn clone_that_was_ready_is_the_one_that_is_called() {
    let world = World::new();
    let mut browser = world.signed_in("ann").await;
    let picky = Picky::default();
    let mut service = world.one.sessions.layer().layer(picky.clone());
    for round in 1..=6 {
        // Alternately with a valid access token, which waits for nothing, and with a renewal, which
        // waits.
        let response = service.ready().await.unwrap().call(request(&browser)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(picky.calls.load(Ordering::SeqCst), round);
        browser.receive(&crate::support::Answer(response.map(axum::body::Body::new)));
        idle().await;
        if round % 2 == 1 {
            world.pass(TTL);
        }
    }
    assert_eq!(world.store.rotations(), 3);
}

#[tokio::test]
async fn errors_and_readiness_of_the_inner_service_pass_through() {
    let world = World::new();
    let picky = Picky::default();
    let mut service = world.one.sessions.layer().optional().layer(picky.clone());
    let error = service.ready().await.unwrap().call(request(&Browser::new())).await.unwrap_err();
    assert_eq!(error, Failure("no user"));
    picky.busy.store(true, Ordering::SeqCst);
    assert_eq!(service.ready().await.map(drop).unwrap_err(), Failure("busy"));
}

#[tokio::test]
async fn refused_request_never_reaches_the_inner_service() {
    let world = World::new();
    let picky = Picky::default();
    let service = world.one.sessions.layer().layer(picky.clone());
    let response = service.oneshot(request(&Browser::new())).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(picky.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn signs_in_and_out_without_axum() {
    let world = World::new();
    let sessions = world.one.sessions.clone();
    let handle = move |request: Request<Page>| {
        let sessions = sessions.clone();
        async move {
            let cookies = match (request.uri().path(), Session::<Profile>::of(&request)) {
                ("/login", _) => {
                    let visitor: Visitor<Profile> = sessions.visitor(&request).unwrap();
                    visitor.sign_in("ann", Profile::default()).await.unwrap()
                }
                (_, Some(session)) => session.sign_out().await.unwrap(),
                (_, None) => return Ok::<_, Failure>(Response::new(Page::default())),
            };
            let mut response = Response::new(Page::default());
            cookies.apply(response.headers_mut());
            Ok(response)
        }
    };
    let service =
        ServiceBuilder::new().layer(world.one.sessions.layer().optional()).service(service_fn(handle));
    let mut browser = Browser::new();
    for (path, signed_in) in [("/login", true), ("/logout", false), ("/logout", false)] {
        let sent = browser.post(path).0.map(|_| Page::default());
        let response = service.clone().oneshot(sent).await.unwrap();
        browser.receive(&crate::support::Answer(response.map(axum::body::Body::new)));
        assert_eq!(!browser.is_empty(), signed_in, "{path}");
    }
    let foreign = browser.post("/login").with("sec-fetch-site", Some("cross-site")).0;
    assert!(world.one.sessions.visitor(&foreign).is_err());
}

#[test]
fn handles_layers_services_and_futures_are_send() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    fn sends<T: Send>(_: &T) {}
    is_send::<Sessions<Profile>>();
    is_sync::<Sessions<Profile>>();
    is_send::<Session<Profile>>();
    is_send::<SessionLayer<Profile>>();
    is_sync::<SessionLayer<Profile>>();
    is_send::<Require<Profile>>();
    is_sync::<Require<Profile>>();
    is_send::<SessionService<Picky, SessionLayer<Profile>>>();
    is_send::<SessionService<Picky, Require<Profile>>>();
    let world = World::new();
    let mut service = world.one.sessions.layer().layer(Picky::default());
    sends(&service.call(request(&Browser::new())));
    sends(&world.one.sessions.revoke_all("ann"));
}

#[test]
fn nothing_needs_a_runtime_before_the_first_renewal() {
    let mut cx = Context::from_waker(Waker::noop());
    let sessions = Sessions::<Profile>::builder(keys(0)).build().unwrap();
    let mut service = sessions.layer().layer(Picky::default());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut answer = std::pin::pin!(service.call(request(&Browser::new())));
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut cx) else { panic!("ready at once") };
    assert_eq!(response.status(), 401);
}

#[test]
fn session_outlives_the_runtime_that_opened_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (world, mut browser) = first.block_on(async {
        let world = World::new();
        let browser = world.signed_in("ann").await;
        assert!(browser.clone().visit(&world.one, "/me").await.ok());
        (world, browser)
    });
    drop(first);
    world.pass(TTL);
    // Without any runtime, a renewal is not possible, and nothing panics.
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = world.one.sessions.layer().layer(Picky::default());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut answer = std::pin::pin!(service.call(request(&browser)));
    let Poll::Ready(Ok(response)) = answer.as_mut().poll(&mut cx) else { panic!("ready at once") };
    assert_eq!(response.status(), 503);

    runtime().block_on(async {
        assert!(browser.visit(&world.one, "/me").await.sets_both());
        assert!(browser.visit(&world.one, "/me").await.ok());
    });
}

//! Alternatives that keep sessions on the server, each with its own memory store and its defaults.

use std::{collections::HashMap, convert::Infallible, hint::black_box, net::SocketAddr, rc::Rc, sync::Arc};

use axum::{Extension, Router, body::Body, extract::ConnectInfo, routing::get};
use axum_login::{AuthManagerLayerBuilder, AuthUser, AuthnBackend, UserId, login_required};
use tokio::runtime::Runtime;

use crate::work::{Contender, Profile, SUBJECT, serving, signed_in};

fn tower_sessions() -> Router {
    use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

    async fn login(session: Session) {
        session.insert("user", Profile::new()).await.expect("it is stored");
    }
    async fn me(session: Session) -> &'static str {
        black_box(session.get::<Profile>("user").await.expect("it is stored").expect("a user").roles.len());
        "hello"
    }
    let layer = SessionManagerLayer::new(MemoryStore::default());
    Router::new().route("/me", get(me)).route("/login", get(login)).layer(layer)
}

/// A user, and the hash of their password.
#[derive(Clone, Debug)]
struct User(Arc<Profile>, &'static [u8]);

/// As long as an Argon2 hash, in the same format.
const PASSWORD_HASH: &[u8] =
    b"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$dGhpcyBpcyBubyBoYXNoIG9mIGFueSBwYXNzd29yZA";

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        SUBJECT.to_owned()
    }
    fn session_auth_hash(&self) -> &[u8] {
        self.1
    }
}

/// Users in memory.
#[derive(Clone)]
struct Users(Arc<HashMap<String, User>>);

impl AuthnBackend for Users {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, name: String) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(&name).cloned())
    }
    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(self.0.get(id).cloned())
    }
}

/// As in its documentation: it stores the hash of the password in the session, to end sessions of an
/// earlier password.
fn axum_login() -> Router {
    axum_login_with(PASSWORD_HASH, |app| app.route_layer(login_required!(Users)))
}

/// It admits every request to the handler, and stores less.
fn axum_login_unprotected() -> Router {
    axum_login_with(b"a hash of the password, of 32 by", |app| app)
}

fn axum_login_with(password_hash: &'static [u8], protect: fn(Router) -> Router) -> Router {
    use axum_login::AuthSession;
    use tower_sessions014::{MemoryStore, SessionManagerLayer};

    async fn login(mut session: AuthSession<Users>) {
        let user = session.authenticate(SUBJECT.to_owned()).await.expect("an answer").expect("a user");
        session.login(&user).await.expect("signed in");
    }
    async fn me(session: AuthSession<Users>) -> &'static str {
        black_box(session.user.expect("a user").0.roles.len());
        "hello"
    }
    let user = User(Arc::new(Profile::new()), password_hash);
    let users = Users(Arc::new(HashMap::from([(SUBJECT.to_owned(), user)])));
    let layer = AuthManagerLayerBuilder::new(users, SessionManagerLayer::new(MemoryStore::default())).build();
    protect(Router::new().route("/me", get(me))).route("/login", get(login)).layer(layer)
}

fn axum_session(runtime: &Runtime) -> Router {
    use axum_session::{Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};

    async fn login(session: Session<SessionNullPool>) {
        session.set("user", Profile::new());
    }
    async fn me(session: Session<SessionNullPool>) -> &'static str {
        black_box(session.get::<Profile>("user").expect("a user").roles.len());
        "hello"
    }
    let store = SessionStore::<SessionNullPool>::new(None, SessionConfig::default());
    let store = runtime.block_on(store).expect("a store");
    Router::new().route("/me", get(me)).route("/login", get(login)).layer(SessionLayer::new(store))
}

fn session_guard() -> Router {
    use session_guard::{AuthSession, Guard, GuardError, MemoryStore, NewSession, Sessions};

    async fn login(
        sessions: Sessions<MemoryStore, String>,
    ) -> Result<(NewSession, &'static str), GuardError> {
        Ok((sessions.login(&SUBJECT.to_owned()).await?, "welcome"))
    }
    async fn me(session: AuthSession<String>) -> &'static str {
        black_box(session.subject.len());
        "hello"
    }
    let config = session_guard::GuardConfig::default();
    let guard = Guard::builder(MemoryStore::new(), config).subject::<String>().build();
    Router::new()
        .route("/me", get(me))
        .layer(guard.layer())
        .route("/login", get(login))
        // It requires the client's address, which a server supplies in the same way.
        .layer(Extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 4000)))))
        .with_state(guard)
}

pub fn all(runtime: &Rc<Runtime>) -> Vec<Contender> {
    // Some start their own tasks.
    let _within = runtime.enter();
    let mut all = Vec::new();
    for (name, mut app) in [
        ("tower-sessions, plain read", tower_sessions()),
        ("axum-login", axum_login()),
        ("axum-login, unprotected, short hash", axum_login_unprotected()),
        ("axum_session", axum_session(runtime)),
        ("session-guard", session_guard()),
    ] {
        let ours = signed_in::<_, Body, _>(runtime, &mut app);
        all.push(serving::<_, Body, _>(name, runtime, app, &ours));
    }
    all
}

//! A page polls for news all night. How do I prevent it from extending its session?
//!
//! A header marks its requests as passive, and the layer does not count them as use: they are served as
//! long as the session lives, and the idle timeout continues. A client that adds the header to other
//! requests only shortens its own session.
//!
//! ```sh
//! cargo run --example polling
//! ```

use std::{error::Error, time::Duration};

use axum::{
    Router,
    response::Html,
    routing::{get, post},
};
use tower_sliding_sessions::{
    BuildError, Keyring, Rejection, Session, Sessions, SessionsBuilder, SetCookies, Visitor,
};

const TRY: &str = "\
curl -s -c jar -d ann 127.0.0.1:3000/login
while sleep 60; do curl -s -f -b jar -c jar -H 'x-poll: 1' 127.0.0.1:3000/news || break; done
# 30 min later: 401. Without the header, it is served until the absolute timeout.";

const PAGE: &str = "\
<!doctype html>
<title>News</title>
<button>Sign in</button> <button>Look</button>
<pre></pre>
<script>
const look = async headers => {
  const answer = await fetch('/news', {headers});
  document.querySelector('pre').textContent = answer.ok ? await answer.text() : 'Sign in again.';
};
const [signIn, lookNow] = document.querySelectorAll('button');
signIn.onclick = () => fetch('/login', {method: 'POST', body: 'ann'});
lookNow.onclick = () => look({}); // the user asked
setInterval(look, 60_000, {'x-poll': '1'});
</script>
";

async fn news(session: Session) -> String {
    format!("Nothing new, {}.\n", session.subject())
}

async fn login(visitor: Visitor, name: String) -> Result<SetCookies, Rejection> {
    // Check a password here.
    Ok(visitor.sign_in(name, ()).await?)
}

pub(crate) fn app(builder: SessionsBuilder<()>) -> Result<Router, BuildError> {
    let sessions = builder.timing(|timing| timing.idle_timeout(Duration::from_secs(30 * 60))).build()?;
    let layer = sessions.layer().passive(|request| request.headers.contains_key("x-poll"));
    Ok(Router::new()
        .route("/news", get(news))
        .route_layer(layer)
        .route("/", get(|| async { Html(PAGE) }))
        .route("/login", post(login))
        .with_state(sessions))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(Sessions::builder(Keyring::random()?))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("{TRY}");
    axum::serve(listener, app).await?;
    Ok(())
}

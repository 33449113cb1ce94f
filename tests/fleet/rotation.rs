//! One expired cookie, a thousand parallel requests, three instances: one rotation.

use std::{collections::HashSet, time::Duration};

use axum::http::StatusCode;

use crate::{browser, instance::Instance, servers::Shared};

/// Grace period 0.5 s, write window 0.5 s, rotation interval 1.6 s.
const SETTINGS: [(&str, &str); 7] = [
    ("DEMO_CRASH_WINDOW", "0"),
    ("DEMO_ACCESS_TTL", "1"),
    ("DEMO_RENEW_BEFORE", "0"),
    ("DEMO_GRACE", "0.5"),
    ("DEMO_WRITE_WINDOW", "0.5"),
    ("DEMO_ROTATION_INTERVAL", "1.6"),
    ("DEMO_IDLE", "600"),
];

pub(crate) async fn check(store: &mut impl Shared) {
    let fleet: Vec<_> = (0..3).map(|_| Instance::start(&store.url(), &SETTINGS)).collect();
    let mut jar = browser::sign_in(fleet[0].address, "alice").await;
    for round in 0..5 {
        // A request confirms the new generation. Then its access token expires, and the rotation interval
        // passes.
        let used = fleet[round % 3].client().get("/me", &jar).await;
        assert_eq!(used.status, StatusCode::OK, "round {round}");
        jar.take(&used);
        tokio::time::sleep(Duration::from_millis(2600)).await;
        let requests: Vec<_> = (0..1000)
            .map(|n| {
                let (client, jar) = (fleet[n % 3].client(), jar.clone());
                tokio::spawn(async move { client.get("/me", &jar).await })
            })
            .collect();
        let (mut generations, mut tokens) = (HashSet::new(), HashSet::new());
        for request in requests {
            let answer = request.await.expect("no panic");
            assert_eq!(answer.status, StatusCode::OK, "round {round}: {answer:?}");
            assert!(!answer.removes_a_cookie(), "round {round}: {answer:?}");
            generations.extend(answer.header("demo-generation").map(str::to_owned));
            tokens.extend(answer.cookie("__Host-refresh"));
            jar.take(&answer);
        }
        let next = (round + 1).to_string();
        assert_eq!(generations, HashSet::from([next]), "round {round}: one rotation serves all requests");
        assert_eq!(tokens.len(), 1, "round {round}: every instance mints the same refresh token");
    }
}

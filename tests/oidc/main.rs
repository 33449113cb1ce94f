//! Sign-in and sign-out through a provider of this process, which can be hostile. The tests with a real provider and a
//! browser are in `single_sign_on`.

#![expect(clippy::expect_used, clippy::panic, reason = "a failed test is a panic")]

#[path = "../support/failing_store.rs"]
mod failing_store;
mod fake;
mod hostile;
mod keys;
mod logout;
mod outage;
mod sign_in;
mod sign_out;
mod site;

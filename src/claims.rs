//! The application's claims.

use serde::{Serialize, de::DeserializeOwned};

/// What an application keeps in its sessions, such as roles: anything that is JSON.
///
/// It travels in the access token, in every request, readable to whoever holds the cookie: keep it
/// small, and personal data out of it. Implemented for every type that can be.
pub trait Claims: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Claims for T {}

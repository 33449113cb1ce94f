//! The two cookies: found byte for byte, written by the `cookie` crate.

mod config;
mod scan;
mod write;

pub use self::config::{CookieError, FormerCookie, SameSite};
pub(crate) use self::{
    config::{Cookies, Names},
    scan::{Found, Values, are_too_long, scan, values},
};

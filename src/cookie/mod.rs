//! The access and the refresh cookie: configuration, `Cookie` headers and `Set-Cookie` headers.

mod config;
mod options;
mod scan;
mod write;

pub use self::{config::CookieError, options::CookieOptions};
pub(crate) use self::{
    config::{Cookies, Names},
    scan::{CookieValue, Values, are_too_long, scan, values},
    write::LONGEST_VALUE,
};

//! The messages, as prost derives them from
//!
//! ```proto
//! package example;
//! service Accounts {
//!     rpc WhoAmI(Empty) returns (User);
//!     rpc SignOut(Empty) returns (Empty);
//! }
//! message Empty {}
//! message User { string name = 1; }
//! ```

#[derive(Clone, PartialEq, prost::Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct User {
    #[prost(string, tag = "1")]
    pub name: String,
}

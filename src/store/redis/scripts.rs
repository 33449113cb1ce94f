//! The scripts, each with what it shares with others in front.
//!
//! Each declares that it may write (by the line `#!lua`), so a replica refuses it as a whole, those
//! that only read among them: what a replica holds may be old.

use std::sync::LazyLock;

use redis::{Cmd, Script, cmd};

/// A script, to be called by its hash or sent whole.
pub(super) struct Lua {
    text: String,
    hash: String,
}

/// Whether the server knows a script already.
#[derive(Clone, Copy)]
pub(super) enum Call {
    ByHash,
    Whole,
}

impl Lua {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// The command that runs it on these keys.
    pub(super) fn command(&self, call: Call, keys: &[&str], args: &[String]) -> Cmd {
        let mut command = match call {
            Call::ByHash => cmd("EVALSHA"),
            Call::Whole => cmd("EVAL"),
        };
        command.arg(match call {
            Call::ByHash => &self.hash,
            Call::Whole => &self.text,
        });
        command.arg(keys.len()).arg(keys).arg(args);
        command
    }
}

macro_rules! scripts {
    ($($name:ident = $first:literal, [$($file:literal),*];)*) => {
        $(pub(super) static $name: LazyLock<Lua> = LazyLock::new(|| {
            Lua::new(&[$first, include_str!("lua/feed.lua"), $(include_str!(concat!("lua/", $file))),*])
        });)*
    };
}

// A server without memory takes no session, but it renews and revokes those it has.
scripts! {
    CREATE = "#!lua\n", ["record.lua", "create.lua"];
    GET = "#!lua flags=allow-oom\n", ["record.lua", "get.lua"];
    ADVANCE = "#!lua flags=allow-oom\n", ["record.lua", "advance.lua"];
    REPLACE = "#!lua flags=allow-oom\n", ["record.lua", "replace.lua"];
    REVOKE = "#!lua flags=allow-oom\n", ["record.lua", "revoke.lua"];
    REVOKE_SUBJECT = "#!lua flags=allow-oom\n", ["record.lua", "revoke_subject.lua"];
    LIST = "#!lua flags=allow-oom\n", ["record.lua", "list.lua"];
    PUBLISH = "#!lua flags=allow-oom\n", ["publish.lua"];
    RAISE_RUN = "#!lua flags=allow-oom\n", ["raise_run.lua"];
    VALUE = "#!lua flags=allow-oom\n", ["value.lua"];
    REPLACE_VALUE = "#!lua flags=allow-oom\n", ["replace_value.lua"];
    VIEW = "#!lua flags=allow-oom\n", ["view.lua"];
}

//! The Lua scripts. The text of each script begins with the functions that the script shares with other scripts.
//!
//! Each script declares that it may write (by the line `#!lua`), even if it only reads. So a replica refuses each
//! script as a whole. Reason: the data of a replica may be old.

use std::sync::LazyLock;

use redis::{Cmd, Script, cmd};

/// A script. It is called by its hash, or the whole text is sent.
pub(super) struct Lua {
    text: String,
    hash: String,
}

/// How to call a script: by its hash if the server knows the script, otherwise with the whole text.
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

    /// The command that runs the script with these keys and arguments.
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

// Only the scripts with `allow-oom` run on a server that has no memory left. So the server accepts no new sessions, but
// still renews and revokes existing sessions.
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

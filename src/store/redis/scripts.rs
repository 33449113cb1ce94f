//! The scripts, each with what all of them share in front.

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

    /// The command that runs it on one key.
    pub(super) fn command(&self, call: Call, key: &str, args: &[String]) -> Cmd {
        let mut command = match call {
            Call::ByHash => cmd("EVALSHA"),
            Call::Whole => cmd("EVAL"),
        };
        command.arg(match call {
            Call::ByHash => &self.hash,
            Call::Whole => &self.text,
        });
        command.arg(1).arg(key).arg(args);
        command
    }
}

macro_rules! scripts {
    ($($name:ident = [$($file:literal),*];)*) => {
        $(pub(super) static $name: LazyLock<Lua> = LazyLock::new(|| {
            Lua::new(&[include_str!("lua/record.lua"), $(include_str!(concat!("lua/", $file))),*])
        });)*
    };
}

scripts! {
    CREATE = ["create.lua"];
    ADVANCE = ["advance.lua", "change.lua"];
    CONFIRM = ["confirm.lua", "change.lua"];
    TOUCH = ["touch.lua", "change.lua"];
    FAST_FORWARD = ["fast_forward.lua", "change.lua"];
    RECORD_PROOF = ["record_proof.lua", "change.lua"];
    PUT_CLAIMS = ["put_claims.lua", "change.lua"];
    REVOKE = ["revoke.lua"];
    REVOKE_ALL = ["revoke_all.lua"];
}

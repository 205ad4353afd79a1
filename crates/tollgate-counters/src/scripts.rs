//! The scripts that count, each one step for everybody.

use std::sync::LazyLock;

use redis::Script;

pub(crate) struct Scripts {
    pub(crate) take: Script,
    pub(crate) settle: Script,
    pub(crate) begin: Script,
    pub(crate) sweep: Script,
    pub(crate) bury: Script,
}

pub(crate) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    take: Script::new(include_str!("scripts/take.lua")),
    settle: Script::new(include_str!("scripts/settle.lua")),
    begin: Script::new(include_str!("scripts/begin.lua")),
    sweep: Script::new(include_str!("scripts/sweep.lua")),
    bury: Script::new(include_str!("scripts/bury.lua")),
});

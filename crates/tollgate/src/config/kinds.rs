//! What is said about a kind of provider that cannot be used.

use tollgate_upstream::providers::{KINDS, find_unspoken};

use super::{
    diagnostics::{self, Problems, quoted_node},
    tree::Node,
};

/// Reports that a node names no kind whose language is spoken.
pub(crate) fn report_unknown(node: &Node, problems: &mut Problems) {
    let name = node.as_text().unwrap_or_default();
    let shown = quoted_node(node);
    let span = node.span.clone();
    let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    if let Some(unspoken) = find_unspoken(name) {
        problems
            .error(span, format!("the language of {shown} is not spoken yet"))
            .help(unspoken.instead)
            .help(format!("spoken are {}", diagnostics::list(&names)));
        return;
    }
    if name.starts_with("plugin:") {
        problems
            .error(span, format!("{shown} is a plugin of MLflow"))
            .help("plugins are Python, and cannot run here")
            .help("a host that speaks a known language is `type: custom` with its `base_url`");
        return;
    }
    let aliases = KINDS.iter().flat_map(|kind| kind.aliases).copied();
    let meant = diagnostics::did_you_mean(name, names.iter().copied().chain(aliases));
    let help = meant.map_or_else(
        || format!("the known kinds: {}", diagnostics::list(&names)),
        |kind| format!("did you mean `{kind}`?"),
    );
    problems
        .error(span, format!("no kind of provider is called {shown}"))
        .help(help)
        .help("a host that speaks a known language is `type: custom` with its `base_url`");
}

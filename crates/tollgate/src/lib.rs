//! The program without its `main`: arguments → command.
//!
//! A library only because fuzz targets cannot reach into a program. No room imports it; what is public here is for `main`
//! and for them.

mod app;
mod cli;
mod config;

use std::path::Path;

pub use cli::run;

/// Checks the text of a configuration as `tollgate check` does, and returns what would be shown.
///
/// The text can reach nothing: every environment variable that it names is set to the same word, and there are no files.
///
/// # Errors
/// When the configuration cannot be used.
pub fn check_configuration(text: &str) -> Result<String, String> {
    let folder = Path::new("");
    match config::load_text(
        "text",
        text,
        folder,
        &config::NoOutside,
        &cli::check_template,
    ) {
        Ok(resolved) => Ok(config::Diagnostics::new(resolved.warnings).to_string()),
        Err(diagnostics) => Err(diagnostics.to_string()),
    }
}

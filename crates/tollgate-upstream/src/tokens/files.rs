//! Tokens that a platform keeps in files and replaces there. They are read anew each time.

use std::path::Path;

use tollgate_domain::Given;

use super::TokenFailure;

/// Bytes of a file that the platform keeps a token in.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A secret, wherever it is.
pub(super) async fn read_given(given: &Given) -> Result<String, TokenFailure> {
    match given {
        Given::Here(secret) => Ok(secret.expose().to_owned()),
        Given::File(path) => read_file(path).await,
    }
}

/// Reads a file apart from the worker, which has calls to serve.
pub(super) async fn read_file(path: &Path) -> Result<String, TokenFailure> {
    use std::io::Read;
    let shown = path.display().to_string();
    let path = path.to_owned();
    let read = move || {
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    };
    let text: std::io::Result<String> = tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| Err(error.into()));
    text.map_err(|error| TokenFailure::new(format!("cannot read the token in {shown}: {error}")))
}

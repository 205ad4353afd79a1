//! Prices that stand in the store, added to those of the configuration file, which go first.

use tollgate_domain::Snapshot;
use tollgate_store::Object;

use crate::config;

/// Adds them to a snapshot that has those of the file. One that nobody understands does not hold, and is told.
pub(crate) fn add_prices(snapshot: &mut Snapshot, stored: &[Object]) {
    let filed = snapshot.prices.clone();
    for object in stored {
        let name = &object.name;
        let said = match config::read_price(&object.body, snapshot) {
            Ok(said) => said,
            Err(problems) => {
                tracing::error!(
                    name,
                    problem = problems.in_short(),
                    "a price in the store cannot be read, and does not hold"
                );
                continue;
            }
        };
        if filed.says(said.provider.as_str(), &said.model) {
            tracing::warn!(
                name,
                "a price of this model stands in the configuration, too, which goes first"
            );
        } else if !snapshot
            .prices
            .add(said.provider, said.model, said.from, said.price)
        {
            tracing::warn!(
                name,
                "another price of this model in the store begins at the same time, and goes first"
            );
        }
    }
}

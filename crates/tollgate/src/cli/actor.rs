//! Who changes something by the command line, as the system knows it: what the environment says of that is anybody's word.

use std::path::Path;

use crate::config::Environment;

/// Where the system keeps the names of users (`passwd(5)`).
const USERS: &str = "/etc/passwd";

/// The name of the user whose process this is, or the number of one without; `USER` beside it, where that says something else.
pub(super) fn name(environment: &dyn Environment) -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = environment.read(Path::new(USERS)).unwrap_or_default();
    let said = environment.variable("USER").unwrap_or_default();
    told(uid, &users, said.trim())
}

fn told(uid: u32, users: &str, said: &str) -> String {
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then_some(name)
    });
    let name = known.map_or_else(|| format!("uid:{uid}"), str::to_owned);
    if said.is_empty() || said == name {
        return name;
    }
    format!("{name} (USER: {said})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_who_it_is() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n";
        for (uid, said, name) in [
            (0, "", "root"),
            (0, "root", "root"),
            (0, "ann", "root (USER: ann)"),
            (1000, "ann", "ann"),
            (7, "", "uid:7"),
            (7, "ann", "uid:7 (USER: ann)"),
        ] {
            assert_eq!(told(uid, users, said), name);
        }
        assert_eq!(told(1, "", ""), "uid:1");
    }
}

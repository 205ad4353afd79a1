//! Real files in a folder of their own.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// Longer than it takes until files are read anyway.
const NOTICED: Duration = Duration::from_secs(10);

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tollgate-watch-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, content).expect("written");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

async fn notices(watch: &mut Watch) -> bool {
    time::timeout(NOTICED, watch.changed()).await.is_ok()
}

#[tokio::test]
async fn a_file_written_in_place_is_noticed() {
    let folder = Folder::new();
    let file = folder.write("a.yaml", "one");
    let mut watch = Watch::new(vec![file]);
    folder.write("a.yaml", "two");
    assert!(notices(&mut watch).await);
}

#[tokio::test]
async fn a_replaced_file_is_noticed_again_and_again() {
    let folder = Folder::new();
    let file = folder.write("a.yaml", "one");
    let mut watch = Watch::new(vec![file.clone()]);
    for content in ["two", "three", "four"] {
        let new = folder.write("a.yaml.new", content);
        fs::rename(new, &file).expect("renamed");
        assert!(notices(&mut watch).await, "{content}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_swapped_folder_is_noticed_as_kubernetes_swaps_it() {
    use std::os::unix::fs::symlink;

    let folder = Folder::new();
    folder.write("..1/a.yaml", "one");
    symlink("..1", folder.0.join("..data")).expect("linked");
    symlink("..data/a.yaml", folder.0.join("a.yaml")).expect("linked");
    let mut watch = Watch::new(vec![folder.0.join("a.yaml")]);
    for (number, content) in [(2, "two"), (3, "three")] {
        folder.write(&format!("..{number}/a.yaml"), content);
        symlink(format!("..{number}"), folder.0.join("..data_tmp")).expect("linked");
        fs::rename(folder.0.join("..data_tmp"), folder.0.join("..data")).expect("renamed");
        fs::remove_dir_all(folder.0.join(format!("..{}", number - 1))).expect("removed");
        assert!(notices(&mut watch).await, "{content}");
    }
}

#[tokio::test]
async fn a_second_file_is_watched_too() {
    let folder = Folder::new();
    let file = folder.write("a.yaml", "one");
    let mut watch = Watch::new(vec![file.clone()]);
    let secret = folder.write("secrets/key", "one");
    watch.set_files(vec![file, secret]);
    folder.write("secrets/key", "two");
    assert!(notices(&mut watch).await);
}

#[tokio::test]
async fn the_same_content_is_no_change() {
    let folder = Folder::new();
    let file = folder.write("a.yaml", "one");
    let mut watch = Watch::new(vec![file]);
    folder.write("a.yaml", "one");
    folder.write("other.yaml", "x");
    let noticed = time::timeout(Duration::from_millis(500), watch.changed()).await;
    assert!(noticed.is_err());
}

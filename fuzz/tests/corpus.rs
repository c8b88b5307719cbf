//! Every seed of every target holds what the target promises. An input that once broke something is a seed.

use std::path::Path;

#[test]
fn the_corpora_pass() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in fuzz::TARGETS {
        let mut seeds = 0;
        for entry in std::fs::read_dir(corpora.join(name)).expect("each target has a corpus") {
            let path = entry.expect("a readable folder").path();
            println!("{}", path.display());
            target(&std::fs::read(&path).expect("a readable seed"));
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}

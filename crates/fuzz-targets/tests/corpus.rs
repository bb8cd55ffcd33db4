//! Every target on its corpus, and on a fixed number of mutations of it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::path::PathBuf;

use roost_fuzz_targets::{TARGETS, Target};

/// Mutations of each target; one takes some ten microseconds.
const MUTATIONS: usize = 4000;
/// What mutations put in: what parsers look for.
const WORDS: [&[u8]; 16] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"\xff",
    b"\r\n\r\n",
    b"0",
    b"chunked",
    b"\x7f",
    b"18446744073709551616",
    b"-1",
    b"\xff\xff",
];

/// A multiply and a shift: the same numbers in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = std::fs::read_dir(root.join(target)).expect("a corpus");
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

fn mutate(seed: &[u8], other: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=chance.below(3) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = chance.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..(at + chance.below(16)).min(bytes.len()))),
            4 => drop(bytes.splice(at..at, WORDS[chance.below(WORDS.len())].iter().copied())),
            _ => {
                let from = chance.below(other.len() + 1);
                let piece = other[from..].iter().take(chance.below(64)).copied();
                drop(bytes.splice(at..at, piece));
            }
        }
    }
    bytes
}

/// Runs the target, and says which bytes broke its promise.
fn try_one(run: Target, bytes: &[u8]) {
    if let Err(broken) = std::panic::catch_unwind(|| run(bytes)) {
        eprintln!("the bytes were: {}", bytes.escape_ascii());
        std::panic::resume_unwind(broken);
    }
}

fn check(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let corpus = corpus(target);
    for bytes in &corpus {
        try_one(*run, bytes);
    }
    let mut chance = Chance(1);
    for _ in 0..MUTATIONS {
        let (seed, other) = (chance.below(corpus.len()), chance.below(corpus.len()));
        try_one(*run, &mutate(&corpus[seed], &corpus[other], &mut chance));
    }
}

/// Promises hold for the corpus of each target and for its mutations.
#[test]
fn promises_hold() {
    std::thread::scope(|scope| {
        for (name, _) in TARGETS {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, || check(name))
                .unwrap();
        }
    });
}

/// Each target has a corpus and a program for libFuzzer, and there is no other.
#[test]
fn nothing_is_left_over() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = |folder: &str| {
        let files = std::fs::read_dir(root.join(folder)).unwrap();
        let stem = |path: PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut names: Vec<_> = files.map(|file| stem(file.unwrap().path())).collect();
        names.sort();
        names
    };
    let mut expected: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(names("corpus"), expected);
    assert_eq!(names("fuzz_targets"), expected);
}

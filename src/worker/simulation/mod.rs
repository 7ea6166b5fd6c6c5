//! The workers on the seeded kernel: thousands of runs, and the mistakes they would find.

mod fleet;

use std::num::NonZeroUsize;

use super::planted::{Planted, plant};
use crate::driver::sim::{Failure, Flaw, Script, World};
use fleet::SimFleet;

/// Runs of one `cargo test`; `RINGCAST_SIM_SEEDS` asks for more, `RINGCAST_SIM_SEED` for one.
const SEEDS: u64 = 10_000;

/// What a test changes in a run.
#[derive(Debug, Clone, Copy, Default)]
struct Twist {
    /// A mistake in the workers.
    planted: Option<Planted>,
    /// Dropped channels leave no tombstones.
    no_tombstones: bool,
    /// A publisher stops for ever between claim and publish.
    stops_between: bool,
}

fn run(seed: u64, twist: Twist, change: impl FnOnce(&mut Script)) -> Result<u64, Failure> {
    plant(twist.planted);
    let mut world = World::new(seed, |script| {
        script.token = fleet::token();
        change(script);
    });
    let mut fleet = SimFleet::new(&world, twist);
    let result = world.run(&mut fleet);
    plant(None);
    result.map(|()| world.checksum())
}

fn asked(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Runs `seeds` seeds on all cores; panics with the first failure of each.
fn run_many(begin: u64, seeds: u64) {
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (begin..begin + seeds).skip(thread).step_by(threads) {
                    if let Err(failure) = run(seed, Twist::default(), |_| {}) {
                        panic!("{failure}");
                    }
                }
            });
        }
    });
}

#[test]
fn ten_thousand_seeds_break_no_promise() {
    match asked("RINGCAST_SIM_SEED") {
        Some(seed) => run_many(seed, 1),
        None => run_many(0, asked("RINGCAST_SIM_SEEDS").unwrap_or(SEEDS)),
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        let sums = [(); 2].map(|()| run(seed, Twist::default(), |_| {}).expect("a good run"));
        assert_eq!(sums[0], sums[1], "seed {seed}");
    }
    let other = run(1, Twist::default(), |_| {}).expect("a good run");
    assert_ne!(run(2, Twist::default(), |_| {}).expect("a good run"), other);
}

/// The first seed that finds the mistake, and what it says.
fn find(twist: Twist, change: impl Fn(&mut Script)) -> Failure {
    (0..2_000)
        .find_map(|seed| run(seed, twist, &change).err())
        .unwrap_or_else(|| panic!("{twist:?} was not found"))
}

#[test]
fn finds_two_sends_in_one_enter() {
    let twist = Twist { planted: Some(Planted::SecondSend), ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(matches!(failure.flaw, Flaw::SecondSend { .. }), "{failure}");
}

#[test]
fn finds_a_replay_that_joins_one_too_late() {
    let twist = Twist { planted: Some(Planted::LateJoin), ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(matches!(failure.flaw, Flaw::Missing { .. } | Flaw::Stall { .. }), "{failure}");
}

#[test]
fn finds_duplicates_after_a_resume_on_a_worker_that_is_behind() {
    let twist = Twist { planted: Some(Planted::JoinBehind), ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(matches!(failure.flaw, Flaw::NotRising { .. }), "{failure}");
}

#[test]
fn finds_a_small_fan_out_that_overtakes_a_broadcast() {
    let twist = Twist { planted: Some(Planted::Overtake), ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(
        matches!(failure.flaw, Flaw::NotRising { .. } | Flaw::Missing { .. } | Flaw::Stall { .. }),
        "{failure}"
    );
}

#[test]
fn finds_a_spread_event_that_the_next_one_passes_by() {
    let twist = Twist { planted: Some(Planted::PassSpread), ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(matches!(failure.flaw, Flaw::Missing { .. } | Flaw::Stall { .. }), "{failure}");
}

#[test]
fn finds_a_channel_dropped_without_its_tombstone() {
    let twist = Twist { no_tombstones: true, ..Twist::default() };
    let failure = find(twist, |script| script.ample = false);
    assert!(matches!(failure.flaw, Flaw::Missing { .. } | Flaw::Stall { .. }), "{failure}");
}

#[test]
fn finds_a_publisher_stopped_between_claim_and_publish() {
    let twist = Twist { stops_between: true, ..Twist::default() };
    let failure = find(twist, |_| {});
    assert!(matches!(failure.flaw, Flaw::Stall { .. }), "{failure}");
}

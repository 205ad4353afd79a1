//! Whom a call may be put to, in which order: the strategies.
//!
//! A plan is the order of preference alone; who is healthy is asked at each attempt.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tollgate_domain::{Choice, Sticky, Strategy, Target};
use tollgate_upstream::Lane;

/// A strategy whose targets are looked up already.
#[derive(Debug)]
pub(crate) struct Tree {
    how: How,
    branches: Vec<Branch>,
}

#[derive(Debug)]
enum How {
    AsWritten,
    InTurn(Turns),
    ByWeight(Option<Sticky>),
    LeastBusy,
    Fastest,
}

/// Whose turn it is: a round of indices, written down once.
#[derive(Debug)]
struct Turns {
    round: Vec<usize>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Branch {
    weight: u32,
    member: Member,
}

#[derive(Debug)]
enum Member {
    Lane(Arc<Lane>),
    Tree(Tree),
}

/// What keeps a caller with the same choice: a hash of the header or of the user, where there is one.
pub(crate) type Stickiness = Option<u64>;

/// Hashes what keeps a caller with the same choice.
pub(crate) fn stickiness(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

// === impl Tree ===

impl Tree {
    /// Looks the targets up. `lane` gives the lane of a target.
    pub(crate) fn build(strategy: &Strategy, lane: &impl Fn(&Target) -> Arc<Lane>) -> Self {
        let how = match strategy {
            Strategy::Single(_) | Strategy::Ordered(_) => How::AsWritten,
            Strategy::RoundRobin(choices) => {
                How::InTurn(Turns::new(choices.iter().map(Choice::weight)))
            }
            Strategy::Ratio { sticky, .. } => How::ByWeight(sticky.clone()),
            Strategy::LeastBusy(_) => How::LeastBusy,
            Strategy::Fastest(_) => How::Fastest,
        };
        let branch = |choice: &Choice| Branch {
            weight: choice.weight(),
            member: match choice {
                Choice::Target(target) => Member::Lane(lane(target)),
                Choice::Nested { strategy, .. } => Member::Tree(Self::build(strategy, lane)),
            },
        };
        Self {
            how,
            branches: strategy.choices().iter().map(branch).collect(),
        }
    }

    /// One target and no choice.
    pub(crate) fn single(lane: Arc<Lane>) -> Self {
        Self {
            how: How::AsWritten,
            branches: vec![Branch {
                weight: 1,
                member: Member::Lane(lane),
            }],
        }
    }

    /// What keeps callers with the same choice, if anything does.
    pub(crate) fn sticky(&self) -> Option<&Sticky> {
        if let How::ByWeight(sticky) = &self.how {
            return sticky.as_ref();
        }
        self.branches
            .iter()
            .find_map(|branch| match &branch.member {
                Member::Tree(tree) => tree.sticky(),
                Member::Lane(_) => None,
            })
    }

    /// Every lane once, the preferred first.
    pub(crate) fn plan(&self, stickiness: Stickiness) -> Vec<Arc<Lane>> {
        let mut lanes = Vec::with_capacity(self.branches.len());
        self.extend(&mut lanes, stickiness);
        lanes
    }

    fn extend(&self, lanes: &mut Vec<Arc<Lane>>, stickiness: Stickiness) {
        for &index in &self.order(stickiness) {
            match &self.branches[index].member {
                Member::Lane(lane) => lanes.push(Arc::clone(lane)),
                Member::Tree(tree) => tree.extend(lanes, stickiness),
            }
        }
    }

    /// Indices of the branches, the preferred first.
    fn order(&self, stickiness: Stickiness) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.branches.len()).collect();
        match &self.how {
            How::AsWritten => {}
            How::InTurn(turns) => {
                if let Some(first) = turns.next() {
                    order.rotate_left(first);
                }
                self.last_without_weight(&mut order);
            }
            How::ByWeight(sticky) => {
                let stickiness = sticky.as_ref().and(stickiness);
                let draws: Vec<f64> = order
                    .iter()
                    .map(|&index| draw(self.branches[index].weight, index, stickiness))
                    .collect();
                order.sort_by(|&a, &b| draws[a].total_cmp(&draws[b]));
            }
            How::LeastBusy => {
                // Among equals, by chance: the first written must not get all that comes at a quiet time.
                fastrand::shuffle(&mut order);
                order.sort_by(|&a, &b| self.branches[a].load().total_cmp(&self.branches[b].load()));
                self.last_without_weight(&mut order);
            }
            How::Fastest => {
                fastrand::shuffle(&mut order);
                // Whoever has not been measured lately comes first, and is measured thereby.
                order.sort_by_key(|&index| {
                    self.branches[index].first_token().unwrap_or(Duration::ZERO)
                });
                self.last_without_weight(&mut order);
            }
        }
        order
    }

    /// Who has no weight is only asked when the others fail.
    fn last_without_weight(&self, order: &mut [usize]) {
        order.sort_by_key(|&index| self.branches[index].weight == 0);
    }
}

// === impl Turns ===

/// Rounds that are kept written down have at most this many turns.
const TURNS_MAX: u64 = 1_000;

impl Turns {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<u64> = weights.map(u64::from).collect();
        let divisor = weights.iter().copied().fold(0, greatest_common_divisor);
        let total: u64 = weights.iter().sum::<u64>() / divisor.max(1);
        // Weights so fine that the round would be too long are made coarser, and nobody's turn is lost.
        let divisor = divisor.max(1) * total.div_ceil(TURNS_MAX).max(1);
        let weights = weights.iter().map(|weight| weight.div_ceil(divisor));
        Self {
            round: spread(&weights.collect::<Vec<_>>()),
            turn: AtomicUsize::new(0),
        }
    }

    /// Whose turn it is; nobody's where nobody has a weight.
    fn next(&self) -> Option<usize> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.round.get(turn.checked_rem(self.round.len())?).copied()
    }
}

/// A round in which each has as many turns as its weight says, spread evenly: at each turn everybody gains their weight, whoever has the
/// most is next and pays the total.
fn spread(weights: &[u64]) -> Vec<usize> {
    let total: u64 = weights.iter().sum();
    let mut gains = vec![0_i128; weights.len()];
    let mut turn = || {
        for (gain, weight) in gains.iter_mut().zip(weights) {
            *gain += i128::from(*weight);
        }
        let most = gains.iter().copied().max()?;
        let next = gains.iter().position(|gain| *gain == most)?;
        gains[next] -= i128::from(total);
        Some(next)
    };
    (0..total).map_while(|_| turn()).collect()
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

impl Branch {
    /// Calls in flight, relative to the weight.
    fn load(&self) -> f64 {
        fn busy(member: &Member) -> usize {
            match member {
                Member::Lane(lane) => lane.health().busy(),
                Member::Tree(tree) => tree
                    .branches
                    .iter()
                    .map(|branch| busy(&branch.member))
                    .sum(),
            }
        }
        let busy = u32::try_from(busy(&self.member)).unwrap_or(u32::MAX);
        f64::from(busy) / f64::from(self.weight.max(1))
    }

    /// The time to the first token of late; of several, the best.
    fn first_token(&self) -> Option<Duration> {
        match &self.member {
            Member::Lane(lane) => lane.health().first_token(Instant::now()),
            Member::Tree(tree) => tree.branches.iter().filter_map(Self::first_token).min(),
        }
    }
}

/// A draw that sorts choices by chance, each first as often as its weight says (Efraimidis and Spirakis, 2006): -ln(u) / weight.
/// With stickiness, u comes from the caller and the choice alone, so that a caller keeps to the same order while the choices
/// stay the same.
fn draw(weight: u32, index: usize, stickiness: Stickiness) -> f64 {
    let uniform = match stickiness {
        None => fastrand::f64(),
        Some(stickiness) => fastrand::Rng::with_seed(
            stickiness.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        )
        .f64(),
    };
    match weight {
        0 => f64::INFINITY,
        weight => -(1.0 - uniform).ln() / f64::from(weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_comes_first_as_often_as_its_weight_says() {
        let weights = [90, 10, 0];
        let mut firsts = [0_u32; 3];
        for _ in 0..10_000 {
            let draws = [0, 1, 2].map(|index| draw(weights[index], index, None));
            let first = (0..3)
                .min_by(|&a, &b| draws[a].total_cmp(&draws[b]))
                .unwrap();
            firsts[first] += 1;
        }
        assert!((8_800..9_200).contains(&firsts[0]), "{firsts:?}");
        assert_eq!(firsts[2], 0);
    }

    #[test]
    fn a_round_gives_each_its_turns_and_spreads_them() {
        let round = |weights: &[u32]| Turns::new(weights.iter().copied()).round;
        assert_eq!(round(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(round(&[30, 10]), [0, 0, 1, 0]);
        assert_eq!(round(&[2, 0, 1]), [0, 2, 0]);
        assert!(round(&[0, 0]).is_empty());
        let coarse = round(&[1_000_000, 1, 999_999]);
        assert!(
            coarse.len() <= 1_003 && coarse.contains(&1),
            "{}",
            coarse.len()
        );
    }

    #[test]
    fn the_same_caller_keeps_to_the_same_draw() {
        assert_eq!(draw(3, 1, Some(7)).to_bits(), draw(3, 1, Some(7)).to_bits());
        assert_ne!(draw(3, 1, Some(7)).to_bits(), draw(3, 1, Some(8)).to_bits());
    }

    #[test]
    fn sticky_callers_spread_by_weight() {
        let first = (0..10_000_u64).filter(|caller| {
            let caller = Some(stickiness(&caller.to_string()));
            draw(80, 0, caller) < draw(20, 1, caller)
        });
        let share = first.count();
        assert!((7_700..8_300).contains(&share), "{share}");
    }
}

//! goim's weighted choice of a node, as arithmetic.
//!
//! A node's worth is its weight plus how many clients it is short of: (its share of the weights − half its share of the
//! connections) × all connections. goim also raises the weight of nodes in the caller's region, but knows no caller's
//! region, so that is left out.

/// What a choice is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub weight: u32,
    pub connections: u32,
}

const WORTH_MIN: f64 = 1.0;
const WORTH_MAX: f64 = (1 << 20) as f64;

/// Places of the candidates, best first; those worth the same in the order given.
pub(super) fn rank(candidates: &[Candidate]) -> Vec<usize> {
    let connections: f64 = candidates.iter().map(|candidate| f64::from(candidate.connections)).sum();
    let weights: f64 = candidates.iter().map(|candidate| f64::from(candidate.weight)).sum();
    let worth = |candidate: &Candidate| worth(candidate, weights, connections);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|a, b| worth(&candidates[*b]).total_cmp(&worth(&candidates[*a])));
    order
}

fn worth(candidate: &Candidate, weights: f64, connections: f64) -> f64 {
    let weight = f64::from(candidate.weight);
    if connections == 0.0 || weights == 0.0 {
        return weight.clamp(WORTH_MIN, WORTH_MAX);
    }
    let short_of = (weight / weights - f64::from(candidate.connections) / connections * 0.5) * connections;
    (weight + short_of.round()).clamp(WORTH_MIN, WORTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(numbers: &[(u32, u32)]) -> Vec<Candidate> {
        numbers.iter().map(|(weight, connections)| Candidate { weight: *weight, connections: *connections }).collect()
    }

    #[test]
    fn weight_counts_and_so_does_room() {
        assert_eq!(rank(&candidates(&[(10, 0), (20, 0), (10, 0)])), [1, 0, 2], "nobody is connected: by weight");
        assert_eq!(rank(&candidates(&[(10, 900), (10, 100)])), [1, 0], "the emptier one");
        assert_eq!(rank(&candidates(&[(30, 400), (10, 300)])), [0, 1], "three times the weight takes more");
        assert_eq!(rank(&[]), [] as [usize; 0]);
        assert_eq!(rank(&candidates(&[(0, 5), (0, 5)])), [0, 1]);
    }

    #[test]
    fn clients_spread_by_weight_as_they_are_sent() {
        let mut nodes = candidates(&[(10, 0), (10, 0), (20, 0)]);
        for _ in 0..4_000 {
            let best = rank(&nodes)[0];
            nodes[best].connections += 1;
        }
        let got: Vec<u32> = nodes.iter().map(|node| node.connections).collect();
        assert!(got[0].abs_diff(got[1]) <= 2 && got[2] > got[0], "{got:?}");
    }
}

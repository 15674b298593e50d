//! The load efficiency of every placement at 30 machines, against the simulations that the design was made
//! from (Fig. 8 of the Dynamo paper, and what its strategies give when they are written down exactly).

use super::schemes;

const MACHINES: usize = 30;
const SEEDS: u64 = 25;

/// Mean over seeds within 0.02 of what the simulations gave.
fn assert_efficiency(name: &str, size: u32, expected: f64, loads: impl Fn(u64) -> Vec<u128>) {
    let mean = (0..SEEDS).map(|seed| schemes::efficiency(&loads(seed))).sum::<f64>() / SEEDS as f64;
    assert!((mean - expected).abs() < 0.02, "{name} {size}: {mean:.3}, expected {expected}");
}

#[test]
fn random_tokens_are_as_even_as_the_simulations_said() {
    for (tokens, expected) in [(1, 0.449), (16, 0.767), (64, 0.871), (256, 0.930), (1_000, 0.966)] {
        assert_efficiency("strategy 1, T", tokens, expected, |seed| {
            schemes::strategy_1(seed, MACHINES, tokens)
        });
        // Cut into partitions as fine as the tokens stand, it is the same thing.
        let partitions = (MACHINES as u32 * tokens).next_power_of_two();
        assert_efficiency("strategy 2, T", tokens, expected, |seed| {
            schemes::strategy_2(seed, MACHINES, tokens, partitions)
        });
    }
}

#[test]
fn a_walk_over_equal_partitions_is_as_even_as_the_simulations_said() {
    for (partitions, expected) in [(256, 0.860), (1_024, 0.938), (4_096, 0.970), (8_192, 0.979)] {
        assert_efficiency("strategy 3, Q", partitions, expected, |seed| {
            schemes::strategy_3(seed, MACHINES, partitions)
        });
    }
}

#[test]
fn balanced_is_as_even_as_the_simulations_said() {
    for (partitions, expected) in [(256, 0.985), (1_024, 0.994), (4_096, 0.999)] {
        assert_efficiency("balanced, Q", partitions, expected, |seed| {
            schemes::balanced(seed, MACHINES, partitions)
        });
    }
}

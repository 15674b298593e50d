//! The fewest moves that lead from one table to another of given quotas, by a flow of least cost: slow and
//! obviously right, to judge the fast way by.
//!
//! ```text
//! source ─N─► partition ─max_per_zone─► (partition, zone) ─1─► machine ─quota─► sink
//!                                              costs 1 unless the machine held the partition
//! ```

use std::collections::VecDeque;

/// A flow network; the edge at an odd place is the way back of the one before it.
#[derive(Default)]
struct Network {
    edges: Vec<Edge>,
    /// Places of the edges that leave each node.
    leaving: Vec<Vec<usize>>,
}

struct Edge {
    to: usize,
    room: u32,
    cost: i32,
}

impl Network {
    fn node(&mut self) -> usize {
        self.leaving.push(Vec::new());
        self.leaving.len() - 1
    }

    fn edge(&mut self, from: usize, to: usize, room: u32, cost: i32) {
        for (from, to, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.leaving[from].push(self.edges.len());
            self.edges.push(Edge { to, room, cost });
        }
    }

    /// One more unit along a cheapest path (Bellman and Ford, as there are costs below 0); its cost, or `None`
    /// if no more will flow.
    fn augment(&mut self, source: usize, sink: usize) -> Option<i32> {
        let mut costs = vec![i32::MAX; self.leaving.len()];
        let mut by = vec![usize::MAX; self.leaving.len()];
        let mut queue = VecDeque::from([source]);
        costs[source] = 0;
        while let Some(node) = queue.pop_front() {
            for &at in &self.leaving[node] {
                let edge = &self.edges[at];
                let cost = costs[node] + edge.cost;
                if edge.room > 0 && cost < costs[edge.to] {
                    (costs[edge.to], by[edge.to]) = (cost, at);
                    queue.push_back(edge.to);
                }
            }
        }
        let mut node = sink;
        while node != source && costs[sink] < i32::MAX {
            let at = by[node];
            self.edges[at].room -= 1;
            self.edges[at ^ 1].room += 1;
            node = self.edges[at ^ 1].to;
        }
        (costs[sink] < i32::MAX).then_some(costs[sink])
    }
}

/// The fewest moves from `old` lists to lists of `width` machines with these quotas. `machines` are zone and
/// quota. `None` if there are no such lists.
pub fn fewest_moves(
    old: &[Vec<u16>],
    machines: &[(&str, u32)],
    width: usize,
    max_per_zone: usize,
) -> Option<u32> {
    let mut zones: Vec<&str> = machines.iter().map(|machine| machine.0).collect();
    zones.sort_unstable();
    zones.dedup();
    let mut network = Network::default();
    let (source, sink) = (network.node(), network.node());
    let of_machines: Vec<usize> = machines.iter().map(|_| network.node()).collect();
    for (&node, &(_, quota)) in of_machines.iter().zip(machines) {
        network.edge(node, sink, quota, 0);
    }
    for list in old {
        let partition = network.node();
        network.edge(source, partition, width as u32, 0);
        for zone in &zones {
            let in_zone = network.node();
            network.edge(partition, in_zone, max_per_zone as u32, 0);
            for (slot, machine) in
                of_machines.iter().enumerate().filter(|(slot, _)| machines[*slot].0 == *zone)
            {
                network.edge(in_zone, *machine, 1, i32::from(!list.contains(&(slot as u16))));
            }
        }
    }
    let mut moves = 0;
    for _ in 0..old.len() * width {
        moves += network.augment(source, sink)?;
    }
    Some(moves as u32)
}

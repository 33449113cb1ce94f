//! The tables, and each target: met or missed.

use crate::{
    load::Load,
    rounds::{Median, of},
};

#[derive(Default)]
pub struct Report {
    targets: Vec<(String, f64, f64, bool)>,
}

pub fn nanoseconds(medians: &[Median], over: Option<&str>) {
    let base = over.map(|name| of(medians, name));
    println!(
        "\n| | ns | spread |{}",
        over.map(|name| format!(" over {name} | times {name} |")).unwrap_or_default()
    );
    println!("|---|---|---|{}", if over.is_some() { "---|---|" } else { "" });
    for Median { name, ns, spread } in medians {
        print!("| {name} | {ns:.0} | {:.0} % |", spread * 100.0);
        match base {
            Some(base) => println!(" {:.0} | {:.2} |", ns - base, ns / base),
            None => println!(),
        }
    }
}

impl Report {
    fn at_most(&mut self, what: &str, found: f64, target: f64) {
        self.targets.push((what.to_owned(), found, target, found <= target));
    }

    fn at_least(&mut self, what: &str, found: f64, target: f64) {
        self.targets.push((what.to_owned(), found, target, found >= target));
    }

    pub fn parts(&mut self, medians: &[Median]) {
        nanoseconds(medians, None);
        let verify = of(medians, "verify, HS256");
        self.at_most("verify cold HS256 / raw limit", verify / of(medians, "raw limit, HS256"), 1.5);
        let decode = of(medians, "jsonwebtoken decode, HS256");
        self.at_most("verify cold HS256 / jsonwebtoken decode", verify / decode, 0.5);
        let times = |ours, alone| of(medians, ours) / of(medians, alone);
        let found = times("verify, Ed25519", "verification alone, Ed25519");
        self.at_most("verify cold Ed25519 / verification alone", found, 1.05);
        let found = times("mint, Ed25519", "signature alone, Ed25519");
        self.at_most("mint Ed25519 / signature alone", found, 1.1);
    }

    pub fn peers(&mut self, medians: &[Median]) {
        nanoseconds(medians, Some("bare axum"));
        let (bare, insert) = (of(medians, "bare axum"), of(medians, "insert-only layer"));
        let cold = |of_kind| of(medians, of_kind);
        let times = cold("this crate, HS256, cold") / cold("prototype, HS256, cold");
        self.at_most("cold HS256 / prototype", times, 1.07);
        for kind in ["HS256", "Ed25519"] {
            let warm = of(medians, &format!("this crate, {kind}, warm"));
            self.at_most(&format!("warm {kind} / insert-only layer"), warm / insert, 1.25);
            let over = |name| (warm - bare) / (of(medians, name) - bare);
            self.at_most(
                &format!("overhead of warm {kind} / of tower-sessions"),
                over("tower-sessions, plain read"),
                0.22,
            );
            self.at_most(&format!("overhead of warm {kind} / of axum-login"), over("axum-login"), 0.11);
        }
    }

    pub fn renewals(&mut self, medians: &[Median]) {
        let encode = "jsonwebtoken encode, HS256";
        nanoseconds(medians, Some(encode));
        for kind in ["renewal", "renewal, cold token cache"] {
            let renewal = of(medians, &format!("this crate, HS256, {kind}"));
            self.at_most(&format!("HS256 {kind} / jsonwebtoken encode"), renewal / of(medians, encode), 5.0);
        }
    }

    pub fn load(&mut self, loads: &[Load]) {
        println!(
            "\n| over loopback | connections | requests a second | share of bare axum | p50 | p99 | p99.9 |"
        );
        println!("|---|---|---|---|---|---|---|");
        for load in loads {
            let bare =
                loads.iter().find(|other| other.name == "bare axum" && other.connections == load.connections);
            let share = bare.map_or(f64::NAN, |bare| load.rate / bare.rate);
            let [p50, p99, p999] = load.latencies;
            let (name, connections, rate) = (load.name, load.connections, load.rate);
            println!("| {name} | {connections} | {rate:.0} | {share:.2} | {p50} us | {p99} us | {p999} us |");
            if connections == 64 && name != "bare axum" {
                self.at_least(&format!("{name} / bare axum, 64 connections"), share, 0.92);
            }
        }
    }

    #[cfg(feature = "stores")]
    pub fn stores(&mut self, found: &crate::stores::Found) {
        println!("\n| renewals that advance, over HTTP | connections | a second | p50 | p99 |");
        println!("|---|---|---|---|---|");
        for load in &found.loads {
            let [p50, p99, _] = load.latencies;
            println!("| {} | {} | {:.0} | {p50} us | {p99} us |", load.name, load.connections, load.rate);
        }
        if let Some(evalsha) = found.evalsha {
            println!("\nbare EVALSHA of a compare-and-set, 32 in flight: {evalsha:.0} a second");
            let rates = found.loads.iter().filter(|load| load.name == "Redis").map(|load| load.rate);
            self.at_least(
                "renewals a second with Redis",
                rates.fold(0.0, f64::max),
                10_000_f64.min(evalsha / 4.0),
            );
        }
    }

    pub fn conclude(&self) {
        println!("\n| target | found | wanted | |");
        println!("|---|---|---|---|");
        for (what, found, target, met) in &self.targets {
            println!("| {what} | {found:.3} | {target:.3} | {} |", if *met { "met" } else { "MISSED" });
        }
    }
}

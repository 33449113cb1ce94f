//! A bar chart as plain SVG, which follows its reader's light or dark setting.

use std::fmt::Write as _;

use crate::rounds::{Median, of};

const ROW: usize = 26;
const LEFT: usize = 210;
const WIDTH: usize = 720;

/// The time that each adds to a request over bare axum.
pub fn bars(medians: &[Median]) -> String {
    let bare = of(medians, "bare axum");
    let mut rows: Vec<_> = medians
        .iter()
        .filter(|median| median.name != "bare axum" && !median.name.contains("renewal"))
        .filter(|median| !median.name.ends_with("as served"))
        .map(|median| (median.name, median.ns - bare))
        .collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    // A bar with a signature in it would shrink all others, so it is cut.
    let longest = rows.iter().map(|row| row.1).filter(|ns| *ns < 15_000.0).fold(1.0, f64::max);
    let height = ROW * rows.len() + 56;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Time added to a request over bare axum, in nanoseconds; less is better</title>\n\
         <style>text{{fill:#24292f}}.peer{{fill:#8c959f}}.ours{{fill:#1a7f37}}\
         @media(prefers-color-scheme:dark){{text{{fill:#d0d7de}}.peer{{fill:#6e7681}}.ours{{fill:#3fb950}}}}</style>\n\
         <text x=\"8\" y=\"22\" font-weight=\"600\">Added to a request over bare axum, in ns (less is better)</text>\n"
    );
    for (index, (name, ns)) in rows.iter().enumerate() {
        let y = 38 + index * ROW;
        let is_cut = *ns > longest;
        let share = if is_cut { 1.0 } else { ns / longest };
        let bar = (share * (WIDTH - LEFT - 90) as f64).max(2.0);
        let class = if name.starts_with("this crate") { "ours" } else { "peer" };
        let text = y + 14;
        let end = LEFT as f64 + bar + 6.0;
        let note = if is_cut { " (bar cut)" } else { "" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{bar:.1}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{end:.1}\" y=\"{text}\">{ns:.0}{note}</text>",
            LEFT - 8
        );
    }
    svg.push_str("</svg>\n");
    svg
}

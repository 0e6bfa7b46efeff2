//! Costs over a growing number, as SVG: both axes logarithmic, so that a flat line is a cost that does not grow.

use std::fmt::Write as _;

/// What one server takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The server.
    pub name: &'static str,
    /// Whether it stands out.
    pub is_ours: bool,
    /// Number and cost, by growing number; both above 0.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

const COLORS: [&str; 6] = ["#767676", "#b3261e", "#1f5fa8", "#2e7d32", "#8e5a00", "#6a3fa0"];

/// A logarithmic axis from power of ten to power of ten.
struct Axis {
    /// Exponents of its ends.
    first: i32,
    last: i32,
    /// Where it lies, in pixels.
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let (least, most) = (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max));
        let exponent = |value: f64| value.log10();
        #[allow(clippy::cast_possible_truncation, reason = "logarithms of finite numbers are small")]
        let (first, last) = (exponent(least).floor() as i32, exponent(most).ceil() as i32);
        Self { first, last: last.max(first + 1), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + part * (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|exponent| 10_f64.powi(exponent))
    }
}

/// The plot.
#[must_use]
pub fn svg(title: &str, x_title: &str, y_title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let x = Axis::new(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Axis::new(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    for tick in x.ticks() {
        let (at, bottom) = (x.at(tick), HEIGHT - BOTTOM);
        let _ = writeln!(
            out,
            "<path d=\"M{at:.1} {TOP}V{bottom}\" stroke=\"#e0e0e0\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 18.0
        );
    }
    for tick in y.ticks() {
        let (at, right) = (y.at(tick), WIDTH - RIGHT);
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#e0e0e0\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let _ = writeln!(
        out,
        "<text x=\"{middle}\" y=\"{:.1}\" text-anchor=\"middle\">{x_title}</text>",
        HEIGHT - 12.0
    );
    let _ = writeln!(out, "<text x=\"8\" y=\"{:.1}\">{y_title}</text>", TOP - 4.0);
    for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
        let path: Vec<_> =
            line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x.at(*a), y.at(*b))).collect();
        let width = if line.is_ours { 3 } else { 1 };
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"/>",
            path.join(" ")
        );
        if let Some((_, last)) = line.points.last() {
            let (at, weight) = (y.at(*last) + 4.0, if line.is_ours { "bold" } else { "normal" });
            let _ = writeln!(
                out,
                "<text x=\"{:.1}\" y=\"{at:.1}\" fill=\"{color}\" font-weight=\"{weight}\">{}</text>",
                WIDTH - RIGHT + 8.0,
                line.name
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_begins_and_ends_at_powers_of_ten() {
        let axis = Axis::new([3.0, 250.0].into_iter(), 0.0, 300.0);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!((axis.at(1.0), axis.at(10.0), axis.at(1000.0)), (0.0, 100.0, 300.0));
        assert_eq!(Axis::new([10.0].into_iter(), 0.0, 1.0).ticks().count(), 2);
    }

    #[test]
    fn plot_has_a_line_with_a_name_for_each_server() {
        let line = |name, is_ours, y| Line { name, is_ours, points: vec![(1.0, y), (100.0, y)] };
        let svg = svg("Cost", "clients", "µs", &[line("floor", false, 1.0), line("ours", true, 10.0)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("points=\"60.0,310.0 530.0,310.0\""), "{svg}");
        assert!(svg.contains("points=\"60.0,40.0 530.0,40.0\"") && svg.contains(">ours</text>"), "{svg}");
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }
}

//! A chart of lines over a logarithmic axis, as SVG text. It draws what one figure needs and no more.

use std::fmt::Write as _;

/// One line of the chart.
pub struct Series {
    /// Stands in the legend.
    pub name: &'static str,
    /// By rising x, which is above 0; y lies in 0 to 1.
    pub points: Vec<(f64, f64)>,
}

/// What is drawn.
pub struct Chart {
    /// Above the figure.
    pub title: String,
    /// Below the x axis, logarithmic.
    pub x: &'static str,
    /// Beside the y axis.
    pub y: &'static str,
    /// The lines.
    pub series: Vec<Series>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// The frame's edges.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 400.0;
/// Told apart by those who do not see red and green as well (Okabe and Ito).
const COLORS: [&str; 4] = ["#E69F00", "#56B4E9", "#009E73", "#D55E00"];

impl Chart {
    /// The whole file.
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        self.axes(&mut svg);
        for (at, (series, color)) in self.series.iter().zip(COLORS).enumerate() {
            self.line(&mut svg, series, color);
            let y = BOTTOM - 85.0 + 20.0 * at as f64;
            line(&mut svg, (RIGHT - 190.0, y), (RIGHT - 165.0, y), color, 2.5);
            text(&mut svg, (RIGHT - 157.0, y + 4.0), "start", series.name);
        }
        svg + "</svg>\n"
    }

    fn axes(&self, svg: &mut String) {
        text(svg, (f64::midpoint(LEFT, RIGHT), 28.0), "middle", &self.title);
        text(svg, (f64::midpoint(LEFT, RIGHT), HEIGHT - 15.0), "middle", self.x);
        let middle = f64::midpoint(TOP, BOTTOM);
        writeln!(
            svg,
            "<text transform=\"translate(22 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.y
        )
        .expect("a string takes every write");
        for tenth in 0..=10 {
            let value = f64::from(tenth) / 10.0;
            let y = place_y(value);
            line(svg, (LEFT, y), (RIGHT, y), "#dddddd", 1.0);
            text(svg, (LEFT - 8.0, y + 4.0), "end", &format!("{value:.1}"));
        }
        let (low, high) = self.decades();
        for decade in low..=high {
            let x = self.place_x(10_f64.powi(decade));
            line(svg, (x, TOP), (x, BOTTOM), "#dddddd", 1.0);
            text(svg, (x, BOTTOM + 20.0), "middle", &format!("{}", 10_u64.pow(decade.unsigned_abs())));
        }
        line(svg, (LEFT, BOTTOM), (RIGHT, BOTTOM), "black", 1.0);
        line(svg, (LEFT, TOP), (LEFT, BOTTOM), "black", 1.0);
    }

    fn line(&self, svg: &mut String, series: &Series, color: &str) {
        let place = |&(x, y): &(f64, f64)| (self.place_x(x), place_y(y));
        let points: Vec<String> =
            series.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2.5\"/>",
            points.join(" ")
        )
        .expect("a string takes every write");
        for (x, y) in series.points.iter().map(place) {
            writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{color}\"/>")
                .expect("a string takes every write");
        }
    }

    /// The powers of ten around all points.
    fn decades(&self) -> (i32, i32) {
        let all = || self.series.iter().flat_map(|series| &series.points).map(|point| point.0.log10());
        let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        (low.floor() as i32, high.ceil() as i32)
    }

    fn place_x(&self, x: f64) -> f64 {
        let (low, high) = self.decades();
        LEFT + (x.log10() - f64::from(low)) / f64::from(high - low) * (RIGHT - LEFT)
    }
}

fn place_y(y: f64) -> f64 {
    BOTTOM - y * (BOTTOM - TOP)
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), color: &str, width: f64) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{color}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
    .expect("a string takes every write");
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>", at.0, at.1)
        .expect("a string takes every write");
}

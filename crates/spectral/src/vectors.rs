//! Vectors in f64.

/// Inner product in eight lanes, so that it does not wait for each sum.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

/// Takes the part along a unit vector out of a vector, and returns its length.
pub(crate) fn take_out(vector: &mut [f64], unit: &[f64]) -> f64 {
    let length = dot(vector, unit);
    for (value, unit) in vector.iter_mut().zip(unit) {
        *value -= length * unit;
    }
    length
}

/// Divides by the Euclidean norm; a zero vector stays as it is.
pub(crate) fn normalise(vector: &mut [f64]) {
    let length = dot(vector, vector).sqrt();
    if length > 0.0 {
        for value in vector.iter_mut() {
            *value /= length;
        }
    }
}

pub(crate) fn narrow(wide: &[f64]) -> Vec<f32> {
    wide.iter().map(|value| *value as f32).collect()
}

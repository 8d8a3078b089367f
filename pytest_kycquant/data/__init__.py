"""Images and labels from the formats that people have, validated before anything is computed."""

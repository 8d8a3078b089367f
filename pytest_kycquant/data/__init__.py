"""Images and labels in the usual formats, validated before anything is computed."""

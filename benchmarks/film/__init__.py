"""What the images of a measured film say of arrangements that differ from the fitted one."""

"""Common parts of LTX-Video and LTX-2: loading, schedules, given frames, upsampling."""

# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests, on the loopback; README.md says how."""

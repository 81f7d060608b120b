# SPDX-License-Identifier: Apache-2.0
"""The parts of the script environment that are not on the path of every call."""

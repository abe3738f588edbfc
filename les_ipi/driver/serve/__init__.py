"""Answering i-PI: evaluator and template in, checked replies in atomic units out, over a socket or inside i-PI."""
